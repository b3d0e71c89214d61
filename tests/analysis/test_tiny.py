import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import Limits, fit_network

pytestmark = pytest.mark.usefixtures("shapes_alone")

SMALL = {"genotype": "DARTS_V2", "input_shape": (8, 8, 1), "num_classes": 10, "min_channels": 2}


def costs(layers, channels):
    model = kp.build_network("DARTS_V2", (8, 8, 1), 10, channels, layers)
    count = kp.analysis.complexity(model)
    return count.params, count.macs, kp.analysis.peak_activation_memory(model, bytes_per_value=1)


def test_the_deepest_then_the_widest():
    macs = costs(3, 4)[1]
    tried = []
    found = fit_network(limits=Limits(macs=macs), tried=tried.append, **SMALL)
    assert costs(found.layers, found.channels)[1] == found.macs <= macs
    assert costs(found.layers + 1, 2)[1] > macs  # no deeper one fits
    assert costs(found.layers, found.channels + 2)[1] > macs  # nor a wider one
    assert found in tried and any(each.exceeds(Limits(macs=macs)) for each in tried)


def test_every_limit_counts():
    params, macs, memory = costs(2, 6)
    alone = [
        fit_network(limits=limits, max_layers=2, **SMALL)
        for limits in (Limits(file_size=params), Limits(macs=macs), Limits(activation_memory=memory))
    ]
    assert [found.channels for found in alone] == [6, 6, 6]
    both = fit_network(limits=Limits(file_size=params, macs=costs(2, 4)[1]), max_layers=2, **SMALL)
    assert (both.channels, both.file_size) == (4, costs(2, 4)[0])


def test_depth_stops_where_it_is_told():
    assert fit_network(limits=Limits(file_size=costs(3, 2)[0]), max_layers=3, **SMALL).layers == 3
    assert fit_network(limits=Limits(file_size=costs(3, 2)[0] - 1), max_layers=3, **SMALL).layers == 2


def test_the_file_is_measured_only_within_the_other_limits():
    measured = []

    def file_size(model):
        measured.append(kp.analysis.complexity(model).macs)
        return 0

    limit = costs(2, 4)[1]
    fit_network(limits=Limits(file_size=1, macs=limit), max_layers=2, file_size=file_size, **SMALL)
    assert measured and max(measured) == limit


def test_nothing_fits():
    with pytest.raises(ValueError, match=r"Even 2 layers of 2 channels are too large: macs [\d,]+ > 10"):
        fit_network(limits=Limits(macs=10), **SMALL)
    with pytest.raises(ValueError, match="A limit must be set"):
        fit_network(limits=Limits(), **SMALL)
