"""Models of no family of ours train by transformers' own forward pass, in all ways that ours do."""

import json
import shutil

import pytest
import torch
from small_training import CPU, RECIPE, changed, counting_batch, steps_of
from torch.nn.functional import cross_entropy

from abovo.errors import AbovoError
from abovo.modeling.family import family_of, name_of_family, open_model
from abovo.modeling.stock import Stock
from abovo.settings.tuning import Adapters
from abovo.training.adapters import add_adapters, merge_adapters
from abovo.training.groups import groups_of
from abovo.training.loss import SummedLoss, summed_loss


@pytest.fixture
def model(gpt2_folder):
    return open_model(gpt2_folder).eval()


def test_loss_is_that_of_the_models_own_logits(model):
    batch = counting_batch(1)
    batch.counts[:, 3:9] = False
    logits = model(input_ids=batch.ids).logits[:, :-1]
    chosen = batch.counts[:, 1:]
    expected = cross_entropy(logits[chosen], batch.ids[:, 1:][chosen], reduction="sum")
    assert summed_loss(model, batch).item() == pytest.approx(expected.item(), rel=1e-6)
    predicted = SummedLoss(model, 0.0)(batch.ids, predict=5)
    assert torch.equal(predicted, logits[:, 5].float())


def test_penalty_on_the_denominator_enters_the_gradient_and_not_the_value(model):
    found = {}
    for weight in (0.0, 0.1):
        model.zero_grad()
        loss = SummedLoss(model, weight)(*counting_batch(1).arguments(CPU))
        loss.backward()
        found[weight] = loss.item(), model.transformer.wte.weight.grad.clone()
    assert found[0.0][0] == pytest.approx(found[0.1][0], rel=1e-6)
    assert not torch.allclose(found[0.0][1], found[0.1][1])


def test_blocks_and_matrices_are_found_in_the_model_itself(model):
    family = family_of(model)
    assert isinstance(family, Stock) and name_of_family("gpt2") == "stock" and name_of_family("llama") == "llama"
    assert list(family.blocks(model)) == list(model.transformer.h)
    assert family.adapter_parts == {
        "attention": ["attn.c_attn", "attn.c_proj"], "feed_forward": ["mlp.c_fc", "mlp.c_proj"],
    }  # fmt: skip
    assert family.adapter_targets(model, ["mlp.c_proj"]) == [f"transformer.h.{n}.mlp.c_proj" for n in range(2)]
    groups = groups_of(model)
    assert not groups.output and any(one is model.transformer.wte.weight for one in groups.others)


@pytest.mark.parametrize(("targets", "modules"), [("all", 4), ("attention", 2), (("mlp.c_fc",), 1)])
def test_adapters_train_and_merge(model, targets, modules):
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    adapted = add_adapters(model, Adapters(rank=2, alpha=4, dropout=0.0, targets=targets), seed=1)
    trained = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * 2 * modules and all("lora_" in name for name in trained)
    losses = [loss for loss, _ in steps_of(adapted, RECIPE, 6)]
    assert losses[-1] < losses[0]
    ids = counting_batch(1).ids
    adapted.eval()
    tuned = adapted(input_ids=ids).logits
    merged = merge_adapters(adapted)
    assert torch.allclose(merged(input_ids=ids).logits, tuned, atol=1e-4)
    assert sum(not torch.equal(before[name], weight) for name, weight in merged.named_parameters()) == 2 * modules


def test_module_that_no_block_has_is_told(model):
    with pytest.raises(AbovoError, match="no linear layers of this family are called 'q_proj'; known: all, attention"):
        add_adapters(model, Adapters(targets=("q_proj",)), seed=1)


def test_recomputed_blocks_change_nothing(gpt2_folder):
    plain, saving = (changed(RECIPE, activation_checkpointing=value) for value in (False, True))
    first, second = (steps_of(_without_dropout(open_model(gpt2_folder)), one, 2) for one in (plain, saving))
    assert torch.allclose(torch.tensor(first), torch.tensor(second), rtol=1e-6)


def _without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def test_folder_that_was_copied_in_part_is_told(gpt2_folder, tmp_path):
    """Without one of several files of weights, with one cut short, with a pickle alone."""
    folder = tmp_path / "model"
    shutil.copytree(gpt2_folder, folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(AbovoError, match=r"its weights cannot be read \([\d,]+ bytes, its head says"):
        open_model(folder)
    weights.write_bytes(whole[:6])
    with pytest.raises(AbovoError, match="its head alone needs more"):
        open_model(folder)
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(AbovoError, match=r"its weights are a pickle \(pytorch_model.bin\)"):
        open_model(folder)
    (folder / "model-00001-of-00002.safetensors").write_bytes(whole)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(AbovoError, match=r"model-00002-of-00002\.safetensors is missing"):
        open_model(folder)


@pytest.mark.parametrize("odd", [{"model_type": "gpt9"}, {"vocab_size": "many"}])
def test_configuration_that_transformers_refuses_is_told(gpt2_folder, tmp_path, odd):
    shutil.copytree(gpt2_folder, tmp_path / "model")
    path = tmp_path / "model/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **odd}))
    with pytest.raises(AbovoError, match="transformers cannot open it as a causal model"):
        open_model(tmp_path / "model")
