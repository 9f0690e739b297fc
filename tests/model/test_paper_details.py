"""Details of the published model as in its authors' code: dropout, activations, initial weights, dropped spectra."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import erf
from torch import Tensor, nn

from mmae.model.build import build_model
from mmae.model.config import PaperConfig
from mmae.model.paper import PaperMMAE
from tests.model.galaxies import FULL_SPEC, SPEC, TINY_PAPER, all_tokens, copied, masks, random_batch, without

N_SPECTRUM = 8  # tokens of TINY_PAPER


@pytest.fixture(scope="module")
def published() -> PaperMMAE:
    torch.manual_seed(1)
    return build_model(PaperConfig(), FULL_SPEC)


def tiny(dropout: float = 0.1) -> PaperMMAE:
    torch.manual_seed(2)
    model = build_model(dataclasses.replace(TINY_PAPER, dropout=dropout), SPEC)
    assert isinstance(model, PaperMMAE)
    return model


def fraction_of_zeros(layer: nn.Module, run: nn.Module, x: Tensor, output: bool = False) -> float:
    """Zeros among the inputs (or outputs) of a layer while `run` is applied to x."""
    seen: list[Tensor] = []
    with torch.no_grad():
        hook = layer.register_forward_hook(lambda _, args, result: seen.append(result if output else args[0]))
        run(x)
    hook.remove()
    return (seen[0] == 0).double().mean().item()


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / 2**0.5)) / 2


@pytest.mark.parametrize("name", ["image_decoder", "spectrum_decoder"])
def test_decoders_have_gelu_between_their_layers(name):
    decoder = getattr(tiny().eval(), name)
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(1))
    y = x.double().numpy()
    layers = [layer for layer in decoder if isinstance(layer, nn.Linear)]
    for i, layer in enumerate(layers):
        y = y @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
        y = gelu(y) if i < 2 else y
    assert len(layers) == 3
    np.testing.assert_allclose(decoder(x).detach().numpy(), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["image_decoder", "spectrum_decoder"])
def test_decoders_drop_a_tenth_of_both_hidden_layers_in_training_only(published, name):
    decoder = getattr(published, name)
    x = torch.randn(100, 512)
    _, second, third = (layer for layer in decoder if isinstance(layer, nn.Linear))
    for layer in (second, third):  # at least 25,600 numbers: a standard error below 0.002
        assert fraction_of_zeros(layer, decoder.train(), x) == pytest.approx(0.1, abs=0.01)
        assert fraction_of_zeros(layer, decoder.eval(), x) == 0


def test_feed_forward_of_cross_attention_drops_a_tenth_twice_in_training_only(published):
    for block in published.cross:
        ffn = block.ffn
        first, second = (layer for layer in ffn if isinstance(layer, nn.Linear))
        x = torch.randn(100, 256)
        for layer, output in ((second, False), (ffn, True)):
            assert fraction_of_zeros(layer, ffn.train(), x, output) == pytest.approx(0.1, abs=0.01)
            assert fraction_of_zeros(layer, ffn.eval(), x, output) == 0
        assert (first.out_features, second.out_features) == (1024, 256)


def test_pooling_and_redshift_head_have_no_dropout():
    model = tiny()
    tokens = torch.randn(3, 5, 16)
    for module, x in (
        (model.image_pool, tokens),
        (model.spectrum_pool, tokens),
        (model.redshift_head, tokens.repeat(1, 1, 2)),
    ):
        assert torch.equal(module.train()(x), module.eval()(x))


def test_the_redshift_head_has_relu():
    """For inputs so large that biases do not count, each side of a ReLU network is linear."""
    head = tiny().redshift_head.eval()
    x = 1e3 * torch.randn(4, 32)
    torch.testing.assert_close(head(2 * x) - head(x), head(3 * x) - head(2 * x), rtol=1e-3, atol=1e-2)


def test_predictions_vary_in_training_only():
    model, batch = tiny(), random_batch(3)
    visible = all_tokens(batch, model.n_tokens, True)
    assert torch.equal(model.eval().redshift(batch, visible)[0], model.redshift(batch, visible)[0])
    assert not torch.equal(model.train().redshift(batch, visible)[0], model.redshift(batch, visible)[0])
    # Without dropout both are equal but for rounding: PyTorch has other kernels for evaluation.
    without_dropout = [tiny(0.0).train(mode).redshift(batch, visible)[0] for mode in (True, False)]
    torch.testing.assert_close(*without_dropout)


def test_linear_layers_start_from_xaviers_distribution(published):
    """Uniform within +-sqrt(6 / (inputs + outputs)), without bias; the input projection of attention too."""
    n = 0
    for name, module in published.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            weight, bias = module.in_proj_weight, module.in_proj_bias
        elif isinstance(module, nn.Linear) and not name.startswith("redshift_head"):
            weight, bias = module.weight, module.bias
        else:
            continue
        n += 1
        bound = (6 / sum(weight.shape)) ** 0.5
        assert 0.99 * bound < weight.abs().max() <= bound, name
        # The standard error of the standard deviation of a uniform distribution is below 0.5/sqrt(size).
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=2.5 / weight.numel() ** 0.5), name
        assert not bias.any(), name
    # 8 encoder layers of 4 matrices, 4 cross-attention blocks of 4, 2 poolings of 2, 2 decoders of 3, one embedding.
    assert n == 59


def test_convolution_starts_from_kaimings_normal_distribution_by_its_fan_out(published):
    weight = published.image_embed.weight.detach()
    std = (2 / (256 * 8 * 8)) ** 0.5
    assert weight.std().item() == pytest.approx(std, rel=0.02)
    kurtosis = (weight / weight.std()).pow(4).mean().item()
    assert kurtosis == pytest.approx(3, abs=0.15)  # of a normal distribution; 1.8 for a uniform one


def test_redshift_head_keeps_the_start_of_pytorch(published):
    """Uniform within 1 / sqrt(inputs), weights and biases."""
    for layer, n_inputs in ((published.redshift_head[0], 512), (published.redshift_head[2], 256)):
        assert 0.9 * n_inputs**-0.5 < layer.weight.abs().max() <= n_inputs**-0.5
        assert layer.bias.abs().min() > 0


def spectrum_tokens(model: PaperMMAE, batch, visible) -> Tensor:
    """The input of the spectrum encoder."""
    seen: list[Tensor] = []
    with torch.no_grad():
        hook = model.spectrum_encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        model(batch, visible)
    hook.remove()
    return seen[0]


def with_zero_spectra(batch, galaxies):
    changed = copied(batch)
    changed.values["flux"][galaxies] = 0.0
    changed.values["ivar"][galaxies] = 1.0
    return changed


def test_a_dropped_spectrum_gives_exactly_the_result_of_a_spectrum_of_zeros():
    model, batch = tiny().eval(), random_batch(4)
    dropped = masks(model, 4)
    shown = {name: tokens.clone() for name, tokens in dropped.items()}
    dropped["spectrum"][[0, 2]] = False
    shown["spectrum"][[0, 2]] = True
    zeros = with_zero_spectra(batch, [0, 2])
    here, there = model.estimate(batch, dropped), model.estimate(zeros, shown)
    assert torch.equal(here.redshift_B, there.redshift_B) and torch.equal(here.image_BCHW, there.image_BCHW)
    assert torch.equal(model.embedding(batch, dropped), model.embedding(zeros, shown))
    tokens = spectrum_tokens(model, batch, dropped)
    assert torch.equal(tokens, spectrum_tokens(model, zeros, shown))
    assert (tokens[[0, 2]].abs().sum(-1) > 0).all()  # not tokens of zeros


def test_a_spectrum_that_was_not_measured_is_one_of_zeros():
    model, batch = tiny().eval(), random_batch(2)
    missing = without(batch, spectrum=[1])
    visible = all_tokens(batch, model.n_tokens, True)
    hidden = {name: tokens.clone() for name, tokens in visible.items()}
    hidden["spectrum"][1] = False
    here = model.redshift(missing, hidden)[0]
    assert torch.equal(here, model.redshift(with_zero_spectra(batch, [1]), visible)[0])


def test_training_masks_three_quarters_of_a_dropped_spectrum_and_no_other():
    model, batch = tiny(0.0), random_batch(6)
    visible = masks(model, 6)
    visible["spectrum"][:3] = False
    shown = all_tokens(batch, model.n_tokens, True)
    torch.manual_seed(5)
    tokens = spectrum_tokens(model.train(), batch, visible)
    kept = tokens.abs().sum(-1) > 0
    assert (kept[:3].sum(-1) == N_SPECTRUM / 4).all() and torch.equal(kept[3:], visible["spectrum"][3:])
    assert not torch.equal(kept[0], kept[1]) or not torch.equal(kept[0], kept[2])
    whole = spectrum_tokens(model, with_zero_spectra(batch, [0, 1, 2]), shown)
    assert torch.equal(tokens, whole * kept[..., None])
    torch.manual_seed(5)
    assert torch.equal(spectrum_tokens(model, batch, visible), tokens)


def test_a_dropped_spectrum_is_no_target():
    model, batch = tiny().eval(), random_batch(4)
    visible = masks(model, 4)
    visible["spectrum"][[0, 2]] = False
    rest = masks(model, 4)
    other = without(batch, spectrum=[0, 2])
    rest["spectrum"] = visible["spectrum"]
    rest["image"] = visible["image"]
    assert torch.equal(model(batch, visible).parts["spectrum"], model(other, rest).parts["spectrum"])
    visible["spectrum"][:] = False
    assert model(batch, visible).parts["spectrum"] == 0


def test_a_dropped_image_is_one_of_zeros_and_no_target():
    model, batch = tiny().eval(), random_batch(3)
    visible = all_tokens(batch, model.n_tokens, True)
    zeros = copied(batch)
    zeros.image_BCHW[1] = 0.0
    expected = model.redshift(zeros, visible)[0]
    hidden = {name: tokens.clone() for name, tokens in visible.items()}
    hidden["image"][1] = False
    assert torch.equal(model.redshift(batch, hidden)[0], expected)
    hidden["image"][:] = False
    assert model(batch, hidden).parts["image"] == 0


@pytest.mark.parametrize("name", ["image", "spectrum"])
def test_a_dropped_modality_gives_gradients_of_ordinary_size(name):
    """Layer normalisation of tokens of zeros would multiply gradients by 300 in each of many layers."""
    norms = []
    for dropped in (False, True):
        torch.manual_seed(2)
        model, batch = build_model(dataclasses.replace(TINY_PAPER, depth=4), SPEC), random_batch(4)
        visible = masks(model, 4)
        if dropped:
            visible[name][:] = False
        model(batch, visible).parts["redshift"].backward()
        norms.append(sum(p.grad.square().sum() for p in model.parameters() if p.grad is not None).sqrt().item())
    assert norms[1] < 10 * norms[0]
