"""The training form of a block has the values and gradients of transformers' own, wherever a block has to serve."""

from dataclasses import replace

import pytest
import torch
from rounding import BFLOAT16, ONE_PASS, near
from torch.utils._python_dispatch import TorchDispatchMode

from abovo.modeling.build import build_model
from abovo.modeling.decoder import DecoderSettings
from abovo.modeling.family import family_of, open_model
from abovo.modeling.forward import in_training_form, use_training_form
from abovo.modeling.passes import gated, rotated, use_few_passes
from abovo.settings.tuning import Adapters
from abovo.tokenizing.special import EOS, PAD
from abovo.training.adapters import add_adapters, merge_adapters
from abovo.training.loss import SummedLoss

SHAPE = DecoderSettings(
    family="qwen3", hidden_size=48, layers=2, heads=4, key_value_heads=2, head_dim=16, feed_forward=80,
    tied_embeddings=True,
)  # fmt: skip
LORA = Adapters(rank=2, alpha=4, dropout=0.0)
# Rows of an odd number of ids that reach the longest position
IDS = torch.arange(3 * 21).view(3, 21) * 7 % 128
EXACT = 1e-12


def built(change=lambda model: model, **shape):
    return change(build_model(replace(SHAPE, **shape), 128, 21, seed=1, eos=EOS, pad=PAD))


def theirs(model):
    """With our norms, which differ from transformers' in float64: those there go through float32."""
    use_few_passes(model)
    return model


def ours(model):
    family_of(model).prepare(model)
    assert in_training_form(model)
    return model


def states_and_gradients(model):
    """Hidden states and what a loss on them leaves in each trained weight."""
    hidden = family_of(model).step(model, IDS).hidden
    hidden.sin().sum().backward()
    return [hidden, *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)]


def assert_near(found, expected, bound):
    assert len(found) == len(expected)
    for own, other in zip(found, expected, strict=True):
        assert near(own, other, bound)


@pytest.mark.parametrize("family", ["qwen3", "llama"])
@pytest.mark.parametrize(("heads", "key_value_heads", "head_dim"), [(4, 2, 16), (3, 3, 8), (4, 1, 32)])
def test_training_form_has_transformers_values_and_gradients(family, heads, key_value_heads, head_dim):
    shape = {"family": family, "heads": heads, "key_value_heads": key_value_heads, "head_dim": head_dim}
    exact = [states_and_gradients(change(built(**shape).double())) for change in (ours, theirs)]
    assert_near(*exact, EXACT)
    # against what transformers computes with nothing of ours
    assert_near(states_and_gradients(ours(built(**shape))), states_and_gradients(built(**shape)), 100 * ONE_PASS)


def test_a_model_in_training_form_still_answers_to_transformers_and_decodes_with_a_cache():
    model = built(ours).eval()
    family, logits = family_of(model), model(input_ids=IDS).logits
    assert near(model.lm_head(family.step(model, IDS).hidden), logits, 10 * ONE_PASS)
    first = family.step(model, IDS[:, :8], keep=True)
    then = family.step(model, IDS[:, 8:], first.cache, keep=True)
    assert near(model.lm_head(torch.cat([first.hidden, then.hidden], 1)), logits, 10 * ONE_PASS)


def test_passes_for_processors_have_the_gradients_of_their_values():
    generator = torch.Generator().manual_seed(1)
    heads = torch.randn(2, 5, 3, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    angles = torch.randn(1, 5, 1, 4, generator=generator, dtype=torch.float64).repeat(1, 1, 1, 2)
    assert torch.autograd.gradcheck(lambda values: rotated(values, angles.cos(), angles.sin()), heads)
    assert torch.autograd.gradcheck(gated, heads)


def test_half_precision_takes_the_form_for_other_devices():
    """The same code as on a GPU: plain expressions, queries and keys from float32 norms."""
    found = []
    for change in (ours, theirs):
        with torch.autocast("cpu", torch.bfloat16):
            found.append(states_and_gradients(built(change)))
    assert_near(*found, 8 * BFLOAT16)


def test_keys_are_repeated_where_no_kernel_takes_fewer_of_them():
    model = built(ours).double()
    for block in model.model.layers:
        block.has_flash = False
    with torch.autocast("cpu", torch.bfloat16):
        found = family_of(model).step(model, IDS).hidden
    with torch.autocast("cpu", torch.bfloat16):
        expected = family_of(model).step(built(ours).double(), IDS).hidden
    assert near(found, expected, 4 * BFLOAT16)


@pytest.mark.parametrize("merged", [False, True])
def test_adapters_see_the_products_of_their_modules(merged):
    def adapted(change):
        model = add_adapters(built(), LORA, seed=2).double()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.normal_(generator=torch.Generator().manual_seed(3))
        change(model.get_base_model())
        return merge_adapters(model) if merged else model.get_base_model()

    def trained(model):
        return states_and_gradients(model.requires_grad_() if merged else model)

    without = family_of(built()).step(built().double(), IDS).hidden
    found, expected = trained(adapted(ours)), trained(adapted(theirs))
    assert_near(found, expected, EXACT)
    assert not near(found[0], without, 0.01)  # the adapters did something


def test_blocks_that_are_computed_again_keep_less_and_change_nothing():
    def kept(model):
        """Bytes that the forward pass keeps for the gradient, and what the gradient is."""
        found = {}

        def pack(tensor):
            found[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            hidden = family_of(model).step(model, IDS).hidden
        hidden.sin().sum().backward()
        return sum(found.values()), [parameter.grad for parameter in model.parameters()]

    plain, again = built(ours, layers=4).train(), built(layers=4).train()
    family_of(again).recompute_blocks(again)
    ours(again)
    (much, expected), (little, found) = kept(plain), kept(again)
    assert all(map(torch.equal, found, expected))
    assert little < much / 2


class Products(TorchDispatchMode):
    """Counts the products of matrices."""

    number = 0

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        self.number += operation in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
        return operation(*arguments, **(named or {}))


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_a_block_takes_four_products_in_place_of_seven(family):
    """Each is one in the forward pass and two in the backward pass; the counts are of two blocks."""
    counted = []
    for model in (built(family=family), ours(built(family=family))):
        with torch.autocast("cpu", torch.bfloat16), Products() as products:
            states_and_gradients(model)
        counted.append(products.number)
    assert counted == [2 * 21, 2 * 12]


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_a_block_is_one_graph_for_the_compiler(family):
    """No break inside: a break would end a kernel, and cost a launch, at that place in every block."""
    model = ours(built(family=family))
    for block in model.model.layers:
        block.compile(backend="aot_eager", fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = states_and_gradients(model)
        expected = states_and_gradients(ours(built(family=family)))
    assert_near(found, expected, 4 * BFLOAT16)


def test_configurations_that_the_training_form_lacks_keep_their_own():
    for change in ({"_attn_implementation": "eager"}, {"attention_dropout": 0.1}, {"hidden_act": "gelu"}):
        model = built()
        for name, value in change.items():
            setattr(model.config, name, value)
        use_training_form(model)
        assert not in_training_form(model)
    model = built()
    model.config.layer_types = ["full_attention", "sliding_attention"]
    use_training_form(model)
    assert not in_training_form(model)


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_a_trained_model_is_saved_as_transformers_class_with_its_logits(family, tmp_path):
    model = ours(built(family=family, tied_embeddings=False))
    names = list(built(family=family, tied_embeddings=False).state_dict())
    family_of(model).save(model, tmp_path)
    assert list(model.state_dict()) == names
    opened = open_model(tmp_path)
    assert type(opened).__name__ == family_of(model).classes[1]
    found = SummedLoss(model, 0.0)(IDS, predict=20)
    assert not in_training_form(opened)
    assert near(found, opened(input_ids=IDS).logits[:, 20], 10 * ONE_PASS)
