"""Networks saved as TorchScript: how each takes pictures is found out, SSCD's way among them."""

import warnings

import numpy as np
import pytest

from memgen_jax import bridges
from memgen_jax.errors import InputError
from memgen_jax.metrics.encoder import EncoderInput

torch = pytest.importorskip("torch")
PICTURES = np.random.default_rng(1).integers(0, 256, (5, 12, 12, 3), dtype=np.uint8)


class Convolution(torch.nn.Module):
    """As SSCD's: floats [image, 3, height, width] of any size, a vector of length 1 each."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return torch.nn.functional.normalize(self.layer(x).relu().mean((2, 3)))


class OfOneSize(torch.nn.Module):
    """As many vision transformers: floats of 224 pixels a side and no others."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Conv2d(3, 2, 56, 56)

    def forward(self, x):
        assert x.shape[2] == 224
        return self.layer(x).flatten(1)


class BytesFirst(torch.nn.Module):
    """Bytes, channels first, of which it makes floats itself."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return self.layer(x.float() / 255).mean((2, 3))


class BytesLast(torch.nn.Module):
    """Bytes, channels last."""

    def forward(self, x):
        return x.float().mean((1, 2))


@pytest.mark.parametrize(
    ("module", "way"),
    [
        (Convolution, EncoderInput("float32", "nchw", 288)),
        (OfOneSize, EncoderInput("float32", "nchw", 224)),
        (BytesFirst, EncoderInput("uint8", "nchw")),
        (BytesLast, EncoderInput("uint8", "nhwc")),
    ],
)
def test_a_network_gets_pictures_as_it_takes_them(tmp_path, module, way):
    own = module().eval()
    torch.jit.script(own).save(tmp_path / "network.torchscript.pt")
    network = bridges.load_torchscript(tmp_path / "network.torchscript.pt")
    with torch.inference_mode():
        expected = own(torch.from_numpy(way.of(PICTURES))).numpy()
    np.testing.assert_allclose(network(PICTURES), expected, rtol=1e-4, atol=1e-5)


class Pictures(torch.nn.Module):
    """Makes pictures of pictures."""

    def forward(self, x):
        return x


@pytest.mark.parametrize("what", ["weights", "text", "pictures"])
def test_what_is_no_encoder_is_refused(tmp_path, what):
    file = tmp_path / "network.pt"
    if what == "weights":
        torch.save(Convolution().state_dict(), file)
    elif what == "text":
        file.write_text("no network")
    else:
        torch.jit.script(Pictures()).save(file)
    words = (
        "makes no vectors of images 12×12×3" if what == "pictures" else "is no TorchScript: save the network"
    )
    with pytest.raises(InputError, match=words):
        bridges.load_torchscript(file)(PICTURES)


def test_torch_is_given_no_pictures_that_it_would_warn_of():
    """Pictures in a file, or one repeated, are read-only, of which torch warns on stderr beside our own sentence."""
    from memgen_jax.bridges import torchscript

    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        given = np.broadcast_to(np.float32(1), (2, 3, 4, 4))
        with warnings.catch_warnings(action="error"):
            assert (torchscript._vectors(torch.nn.Flatten(), given) == 1).all()
    finally:
        torch.set_warn_always(before)
