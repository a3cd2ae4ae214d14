"""The study of the INL family compares models of equal size and operations, tunes each alike, keeps what it trained and
tells trials that diverged; its probes measure what they say."""

import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import inl_probes
import inl_report
import trained
from inl_trials import BATCH_TOKENS, CONTESTANTS, LENGTH, RATES, SEEDS, Choice, Study, Trial, settings_of, with_held_out
from small_world import make_corpus, make_packed, make_tokenizer

from abovo.packing.bins import open_bin, read_index
from abovo.provenance.manifest import read_manifest

MEAN = CONTESTANTS["causal_mean"]


def size(one):
    return sum(weight.numel() for weight in inl_probes.built(one).parameters())


class Kept:
    """Trials whose losses are told by a function of their settings; nothing is trained."""

    code = "the present"

    def __init__(self, loss):
        self.loss = loss
        self.asked = []

    def results(self, wanted):
        self.asked += wanted
        return [{"validation_loss": self.loss(settings), "code": self.code} for settings in wanted]


def rate_of(settings):
    return settings["training"]["optimizer"]["learning_rate"]


def test_contestants_have_equal_parameters_and_their_trials_equal_operations():
    sizes = {name: size(one) for name, one in CONTESTANTS.items()}
    assert max(sizes.values()) - min(sizes.values()) < 0.001 * min(sizes.values()), sizes
    study = Study(None, None, 0, 100 * BATCH_TOKENS, train=False)
    spent = [study.equal_operations(name) * one.flops_per_token() for name, one in CONTESTANTS.items()]
    assert max(spent) < 1.01 * min(spent)


@pytest.mark.parametrize(
    ("best", "further"), [(0.002, (0.001414, 0.002828)), (0.004, (0.008, 0.016)), (0.001, (0.0005, 0.00025))]
)
def test_each_contestant_is_tuned_by_as_many_trials_around_or_beyond_its_best(best, further):
    tuning = Kept(lambda settings: abs(math.log(rate_of(settings) / best)) + (settings["model"] == "never"))
    study = Study(tuning, None, BATCH_TOKENS, BATCH_TOKENS, train=True)
    for one in CONTESTANTS.values():
        tuning.asked.clear()
        losses = study.tuning(one)
        assert len(losses) == len(tuning.asked) == 2 * len(RATES) + 2
        assert [choice.rate for choice in losses][-2:] == list(further)
    assert {choice.rate for choice in study.choices().values()} == {best}


def test_trials_of_reports_have_seeds_of_their_own_and_come_by_seed():
    study = Study(None, None, 0, 10 * BATCH_TOKENS, train=False)
    trials = list(dict.fromkeys(study.trials()))
    assert [trial.seed for trial in trials[:15]] == [seed for seed in SEEDS for _ in range(5)]
    shared = Trial("causal_mean", 5, study.tokens, 1), Trial("causal_mean", None, study.tokens, 1)
    assert study.settings(shared[0], Choice(0.001, 0.0)) == study.settings(shared[1], Choice(0.001, 0.0))


def test_intervals_are_told_and_so_are_trials_that_diverged():
    assert inl_report.told([0.5, 0.6, 0.7]) == "0.600 (0.352 to 0.848)"
    assert inl_report.told([0.5, math.inf, 0.7]) == "diverged in 1 of 3"
    assert inl_report.values_of({"diverged": "step 3"}, {"speeches": 0.25}) == {"nats": math.inf, "speeches": math.inf}


def test_trajectories_are_those_that_the_integrator_goes_through():
    model, ids = inl_probes.built(MEAN), torch.randint(4096, (2, 32), generator=torch.Generator().manual_seed(1))
    seen = []
    integrator = model.model.layers[1].integrator
    step = integrator.step
    integrator.step = lambda *given: (seen.append(step(*given)), seen[-1])[1]
    found, later = inl_probes.trajectory(model, ids), inl_probes.trajectory(model, ids, 40)
    assert found.shape == (4, 5, 2) and later.shape == (4, 40, 2)
    torch.testing.assert_close(later[:, :5], found)
    for number, (x, v, _) in enumerate(seen[:5]):
        expected = torch.stack([(x - integrator.mu).square().mean().sqrt(), v.square().mean().sqrt()])
        torch.testing.assert_close(found[1, number], expected)


@pytest.mark.slow
def test_a_study_trains_keeps_models_and_tells_what_diverged(tmp_path):
    corpus = make_corpus(tmp_path)
    tokenizer = make_tokenizer(tmp_path, corpus)
    packed = make_packed(tmp_path, corpus, tokenizer, LENGTH, name="benchmark").path
    part = with_held_out(packed, 0.5, 1.0, tmp_path / "part/manifest.json")
    whole, less = read_manifest(packed), read_manifest(part)
    for source, (first, end) in read_index(whole, "val")["sources"].items():
        start, stop = read_index(less, "val")["sources"][source]
        expected = open_bin(whole, "val")[first:end][round((end - first) / 2) :]
        assert (open_bin(less, "val")[start:stop] == expected).all() and len(expected) < end - first
    runs = trained.Runs(tmp_path, tokenizer, part, together=1, outcomes=True)
    sound, wild = (settings_of(MEAN, Choice(rate, 0.0), 3 * BATCH_TOKENS, 1) for rate in (0.001, 1e30))
    assert runs.kept(sound) is None
    found, lost = runs.results([sound, wild])
    assert runs.kept(sound) == found and (runs.model_of(sound) / "model.safetensors").exists()
    assert "validation_loss" not in lost and "the training diverged" in lost["diverged"]
    rates = inl_report.tokens_per_byte(part, tokenizer)
    values = inl_report.values_of(found, rates)
    assert values["nats"] == found["validation_loss"] and set(values) == {"nats", *rates}
