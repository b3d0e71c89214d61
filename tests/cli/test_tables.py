from keras_pibnas.cli.tables import table

ROWS = [{"name": "a", "count": 1234567, "share": 0.5}, {"name": "long name", "count": 8, "share": 12.25}]


def test_text_has_numbers_to_the_right():
    assert table(ROWS).splitlines() == [
        "name            count   share",
        "-----------------------------",
        "a           1,234,567     0.5",
        "long name           8   12.25",
    ]


def test_markdown():
    assert table(ROWS, "markdown").splitlines() == [
        "| name      |     count | share |",
        "| --------- | --------: | ----: |",
        "| a         | 1,234,567 |   0.5 |",
        "| long name |         8 | 12.25 |",
    ]


def test_csv_has_plain_numbers_and_quotes():
    rows = [{"name": "a, b", "count": 1234567}]
    assert table(rows, "csv") == 'name,count\n"a, b",1234567'
