"""Settings read the same from the command line and from a file."""

import json

from abovo.console.launch import settings


def test_small_numbers_stay_numbers_in_a_json_file(tmp_path):
    values = {"epsilon": 1e-8, "tokens": 100}
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(values))
    assert settings(str(path)) == settings(json.dumps(values)) == values
