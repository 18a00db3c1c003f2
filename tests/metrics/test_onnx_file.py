"""Networks stored as ONNX take pictures as their graph says; made here by onnx, run by onnxruntime."""

import numpy as np
import pytest

from memgen_jax import metrics
from memgen_jax.errors import InputError
from memgen_jax.metrics.encoder import EncoderInput

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 3), dtype=np.uint8)
KINDS = {
    "uint8": onnx.TensorProto.UINT8,
    "float32": onnx.TensorProto.FLOAT,
    "float16": onnx.TensorProto.FLOAT16,
}


def save(path, dtype, shape, output=("n", 6), reduce_axes=(1,)):
    """A network that casts to float, takes the mean over some axes, and flattens."""
    helper = onnx.helper
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["x"], to=onnx.TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
            helper.make_node("Flatten" if len(output) == 2 else "Identity", ["mean"], ["vector"]),
        ],
        "means",
        [helper.make_tensor_value_info("image", KINDS[dtype], shape)],
        [helper.make_tensor_value_info("vector", onnx.TensorProto.FLOAT, output)],
        [helper.make_tensor("axes", onnx.TensorProto.INT64, [len(reduce_axes)], reduce_axes)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("dtype", "shape", "expected"),
    [
        ("uint8", ["n", "h", "w", 3], EncoderInput("uint8", "nhwc")),
        ("uint8", ["n", 3, "h", "w"], EncoderInput("uint8", "nchw")),
        ("uint8", [2, 12, 8, 3], EncoderInput("uint8", "nhwc", (12, 8))),
        ("float32", ["n", 3, 12, 8], EncoderInput("float32", "nchw", (12, 8))),
        ("float32", ["n", 3, "h", "w"], EncoderInput("float32", "nchw", 288)),
        ("float16", ["n", 3, 12, 8], EncoderInput("float16", "nchw", (12, 8))),
    ],
)
def test_pictures_are_given_as_the_graph_says(tmp_path, dtype, shape, expected):
    network = metrics.load_onnx(save(tmp_path / "n.onnx", dtype, shape, ("n", None)))
    given = expected.of(PICTURES).astype(np.float32)
    np.testing.assert_allclose(network(PICTURES), given.mean(1).reshape(5, -1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "output", "words"),
    [
        (["n", 5, "h", "w"], ("n", None), "no axis is that of 1 or 3 channels"),
        (["n", 12], ("n", None), "one input of pictures is wanted"),
        (["n", 3, "h", "w"], ("n", "h", "w"), "one vector an image is wanted"),
    ],
)
def test_a_graph_that_is_no_encoder_is_refused(tmp_path, shape, output, words):
    with pytest.raises(InputError, match=words):
        metrics.load_onnx(save(tmp_path / "n.onnx", "uint8", shape, output))


def test_a_file_that_is_no_network_is_refused(tmp_path):
    (tmp_path / "n.onnx").write_text("no network")
    with pytest.raises(InputError, match="is no ONNX network"):
        metrics.load_onnx(tmp_path / "n.onnx")
