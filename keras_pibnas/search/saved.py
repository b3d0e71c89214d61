"""How a supernet is saved and loaded, as Keras saves a model."""

import keras

from keras_pibnas.keras_private import all_layers


class SavedSupernet:
    """A supernet's configurations: beside its arguments, what is frozen, and how far the search is."""

    def get_config(self):
        dtype = keras.dtype_policies.serialize(self.dtype_policy)
        plain = isinstance(self.method, str | dict)
        method = self.method if plain else keras.saving.serialize_keras_object(self.method)
        progress = float(self.progress.read_value())
        space = self.space.to_config()
        own = {"space": space, "name": self.name, "dtype": dtype, "method": method, "progress": progress}
        return self.settings | own | {"frozen": self._frozen()}

    def _frozen(self):
        """What of `trainable` is False: {"layers": places among all layers, "architecture": places}."""
        layers, architecture = all_layers(self), self.architecture
        places = [[i for i, part in enumerate(parts) if not part.trainable] for parts in (layers, architecture)]
        return dict(zip(("layers", "architecture"), places, strict=True))

    def _freeze(self, places):
        for name, parts in (("layers", all_layers(self)), ("architecture", self.architecture)):
            for i, part in enumerate(parts if places[name] else ()):
                part.trainable = i not in places[name]

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        progress, frozen = config.pop("progress", 0.0), config.pop("frozen", None)
        supernet = super().from_config(config, custom_objects)
        if frozen:
            supernet._freeze(frozen)
        supernet.progress.assign(progress)
        return supernet

    def get_compile_config(self):
        config = super().get_compile_config()
        if not config:
            return config
        alpha_optimizer = keras.optimizers.serialize(self.alpha_optimizer)
        return config | {"alpha_optimizer": alpha_optimizer, "engine": self.engine_name}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
