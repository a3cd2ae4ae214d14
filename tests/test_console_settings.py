"""Settings read the same from the command line and from a file."""

import json
import subprocess
import sys

import pytest

from abovo.console.launch import settings, settings_as
from abovo.errors import AbovoError
from abovo.settings.keys import decisive
from abovo.settings.tokenizer import TokenizerSettings


def test_small_numbers_stay_numbers_in_a_json_file(tmp_path):
    values = {"epsilon": 1e-8, "tokens": 100}
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(values))
    assert settings(str(path)) == settings(json.dumps(values)) == values


def test_config_file_without_defaults_means_the_same_as_complete_settings(root):
    parse = settings_as(TokenizerSettings)
    given = parse(str(root / "config/tokenizers/nano-4k.yaml"))
    assert given.max_piece_length == 16 and given.description
    assert decisive(parse(json.dumps(decisive(given)))) == decisive(given)


def test_mistake_in_settings_is_told_as_in_config_files(tmp_path, root):
    path = tmp_path / "odd.yaml"
    path.write_text("corpus: nano\nvocabulary_sise: 4096\n")
    told = "unknown key vocabulary_sise (did you mean vocabulary_size?); vocabulary_size: Pieces, special and byte"
    with pytest.raises(AbovoError) as error:
        settings_as(TokenizerSettings)(str(path))
    assert str(error.value).startswith(f"{path}: {told}")
    script = root / "workflow/scripts/train_tokenizer.py"
    command = [sys.executable, str(script), "--settings", str(path), "--corpus", "x", "--output", "y"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {path}: {told}") and done.stderr.count("\n") == 1
