#!/usr/bin/env python3
"""Describe the TransNet V2 shot-boundary network as an ONNX graph without weights.

Usage: make_graph.py WEIGHTS.pth model.onnx        (needs: pip install onnx==1.23.2)

The weights stay where they are: every initializer of the written graph is
"external data", a byte range inside the PyTorch checkpoint, which must lie
beside the model file under its own name. (A checkpoint is a zip archive whose
tensors are stored uncompressed as little-endian float32.)

Input   frames  uint8  [1, T, 27, 48, 3]   RGB frames, 48 wide and 27 high
Outputs cut     float  [T]   probability that a shot ends at this frame
        change  float  [T]   probability that this frame is part of a transition
T is free; the network was trained with T = 100.
"""

import collections
import pathlib
import pickle
import struct
import sys
import zipfile

import onnx
from onnx import TensorProto, helper

HEIGHT, WIDTH = 27, 48
STACKS = 3                 # each halves the picture's height and width
DILATIONS = (1, 2, 4, 8)   # frames between the taps of a block's four branches
BATCH_NORM_EPSILON = 1e-3
NORM_FLOOR = 1e-12         # a vector shorter than this is not scaled to length 1
LOOKUP = 101               # frames, centred, whose similarity to a frame is looked at
LEVEL_BITS = 3             # of each colour channel, in the histograms
LEVELS = 2 ** LEVEL_BITS
BINS = LEVELS ** 3

Weight = collections.namedtuple("Weight", "shape offset length")


# ---------------------------------------------------------------- checkpoint

class CheckpointUnpickler(pickle.Unpickler):
    """Unpickles a state dict into {name: (storage key, first element, shape)}.

    Only the four names below are known; anything else in the pickle is an error.
    """

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self.describe_tensor
        if module == "torch" and name in ("FloatStorage", "LongStorage"):
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a checkpoint")

    def persistent_load(self, storage_id):
        _tag, storage_type, key, _device, _length = storage_id
        return storage_type, key

    @staticmethod
    def describe_tensor(storage, first_element, shape, strides, *_):
        step = 1
        for size, stride in zip(reversed(shape), reversed(strides)):
            if size != 1 and stride != step:
                raise pickle.UnpicklingError("a tensor is not contiguous")
            step *= size
        return storage, first_element, shape


def data_offset(file, entry):
    """Where a stored zip entry's bytes begin, counted from the file's start."""
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{entry.filename} is compressed")
    file.seek(entry.header_offset)
    local_header = file.read(30)
    name_length, extra_length = struct.unpack_from("<HH", local_header, 26)
    return entry.header_offset + len(local_header) + name_length + extra_length


def read_weights(path):
    """{name: Weight} for each float tensor of the checkpoint."""
    weights = {}
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        index = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        folder = index.removesuffix("data.pkl")
        with archive.open(index) as pickled:
            state = CheckpointUnpickler(pickled).load()
        for name, ((storage_type, key), first_element, shape) in state.items():
            if storage_type != "FloatStorage":
                continue  # the batch norms' training counters
            entry = archive.getinfo(f"{folder}data/{key}")
            length = 4
            for size in shape:
                length *= size
            if 4 * first_element + length > entry.file_size:
                raise ValueError(f"{name} is longer than its storage")
            offset = data_offset(file, entry) + 4 * first_element
            weights[name] = Weight(shape, offset, length)
    return weights


# ----------------------------------------------------------------- the graph

class Graph:
    def __init__(self, weights, weights_file_name):
        self.weights = weights
        self.weights_file_name = weights_file_name
        self.nodes = []
        self.initializers = {}

    def add(self, operator, *inputs, name=None, **attributes):
        """Append a node with one output; the answer is that output's name."""
        output = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, values, kind=TensorProto.INT64):
        is_list = isinstance(values, (list, tuple))
        flat = list(values) if is_list else [values]
        name = f"const_{TensorProto.DataType.Name(kind).lower()}_{values}".replace(" ", "")
        if name not in self.initializers:
            self.initializers[name] = helper.make_tensor(name, kind, [len(flat)] if is_list else [], flat)
        return name

    def weight(self, name, shape=None):
        """An initializer that points at a tensor of the checkpoint."""
        weight = self.weights[name]
        if name not in self.initializers:
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape or weight.shape)
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", self.weights_file_name),
                               ("offset", weight.offset), ("length", weight.length)):
                tensor.external_data.add(key=key, value=str(value))
            self.initializers[name] = tensor
        return name

    def linear(self, x, layer):
        return self.add("Gemm", x, self.weight(layer + ".weight"), self.weight(layer + ".bias"), transB=1)

    def unit_length(self, rows):
        """Scale each row of a matrix to length 1; a row of zeros stays as it is."""
        length = self.add("ReduceL2", rows, self.constant([1]), keepdims=1)
        return self.add("Div", rows, self.add("Max", length, self.constant(NORM_FLOOR, TensorProto.FLOAT)))


def convolution_block(g, pictures, layer, height, width):
    """Four parallel branches, each a 3x3 convolution in space followed by one of
    3 taps in time, joined, normalised and cut off at 0. [T, channels, height, width].

    These are 3D convolutions by training. As each is flat in time or flat in
    space they are written as 2D ones, which ONNX Runtime does much faster: in
    space each frame is a picture; in time there is a single picture, of T rows,
    whose columns are the pixels."""
    branches = []
    for dilation in DILATIONS:
        branch = f"{layer}.Conv3D_{dilation}.layers"
        outputs, inputs, *_ = g.weights[branch + ".0.weight"].shape
        kernel = g.weight(branch + ".0.weight", [outputs, inputs, 3, 3])
        in_space = g.add("Conv", pictures, kernel, kernel_shape=[3, 3], pads=[1, 1, 1, 1])

        by_channel = g.add("Transpose", in_space, perm=[1, 0, 2, 3])
        rows = g.add("Reshape", by_channel, g.constant([1, outputs, -1, height * width]))
        outputs, inputs, *_ = g.weights[branch + ".1.weight"].shape
        kernel = g.weight(branch + ".1.weight", [outputs, inputs, 3, 1])
        branches.append(g.add("Conv", rows, kernel, kernel_shape=[3, 1],
                              dilations=[dilation, 1], pads=[dilation, 0, dilation, 0]))
    joined = g.add("Concat", *branches, axis=1)
    parameters = [g.weight(f"{layer}.bn.{p}") for p in ("weight", "bias", "running_mean", "running_var")]
    normalised = g.add("BatchNormalization", joined, *parameters, epsilon=BATCH_NORM_EPSILON)
    active = g.add("Relu", normalised)
    by_channel = g.add("Reshape", active, g.constant([len(DILATIONS) * outputs, -1, height, width]))
    return g.add("Transpose", by_channel, perm=[1, 0, 2, 3])


def convolution_stack(g, x, layer, height, width):
    """Two blocks in a row, the sum of what both give, halved in height and width."""
    first = convolution_block(g, x, layer + ".DDCNN.0", height, width)
    second = convolution_block(g, first, layer + ".DDCNN.1", height, width)
    return g.add("AveragePool", g.add("Add", second, first), kernel_shape=[2, 2], strides=[2, 2])


def similarity_to_neighbours(g, rows, frame_count, layer):
    """Dot products of each row with the LOOKUP rows around it (0 beyond the ends), through a layer."""
    similarity = g.add("MatMul", rows, g.add("Transpose", rows, perm=[1, 0]))
    # Row i of the answer is columns i to i + LOOKUP - 1 of row i of the padded
    # [T, T + LOOKUP - 1] matrix. Read with rows one longer, each row begins one
    # column later than the row before it.
    margin = LOOKUP // 2
    padded = g.add("Pad", similarity, g.constant([0, margin, 0, margin]))
    flat = g.add("Reshape", padded, g.constant([-1]))
    filled_up = g.add("Pad", flat, g.add("Concat", g.constant([0]), frame_count, axis=0))
    row_length = g.add("Add", frame_count, g.constant([LOOKUP]))
    skewed = g.add("Reshape", filled_up, g.add("Concat", frame_count, row_length, axis=0))
    window = g.add("Slice", skewed, g.constant([0]), g.constant([LOOKUP]), g.constant([1]))
    return g.add("Relu", g.linear(window, layer))


def colour_histograms(g, frames, frame_count):
    """How many pixels of each frame are in each colour bin, [T, BINS]."""
    pixels = g.add("Reshape", frames, g.constant([-1, HEIGHT * WIDTH, 3]))
    drop = g.constant(8 - LEVEL_BITS, TensorProto.UINT8)
    levels = g.add("Cast", g.add("BitShift", pixels, drop, direction="RIGHT"), to=TensorProto.INT64)
    place = g.constant([LEVELS ** 2, LEVELS, 1])
    bins = g.add("ReduceSum", g.add("Mul", levels, place), g.constant([2]), keepdims=0)
    ones = g.add("Expand", g.constant([1.0], TensorProto.FLOAT), g.add("Shape", bins))
    empty = g.add("ConstantOfShape", g.add("Concat", frame_count, g.constant([BINS]), axis=0))
    return g.add("ScatterElements", empty, bins, ones, axis=1, reduction="add")


def transnet(g):
    frame_count = g.add("Shape", "frames", start=1, end=2)
    frames = g.add("Squeeze", "frames", g.constant([0]))

    floats = g.add("Cast", frames, to=TensorProto.FLOAT)
    scaled = g.add("Div", floats, g.constant(255.0, TensorProto.FLOAT))
    x = g.add("Transpose", scaled, perm=[0, 3, 1, 2])
    height, width = HEIGHT, WIDTH
    means = []
    for stack in range(STACKS):
        x = convolution_stack(g, x, f"SDDCNN.{stack}", height, width)
        height, width = height // 2, width // 2
        means.append(g.add("ReduceMean", x, g.constant([2, 3]), keepdims=0))  # [T, channels]
    channels_last = g.add("Transpose", x, perm=[0, 2, 3, 1])
    features = g.add("Flatten", channels_last, axis=1)

    projected = g.unit_length(g.linear(g.add("Concat", *means, axis=1), "frame_sim_layer.projection"))
    frame_similarity = similarity_to_neighbours(g, projected, frame_count, "frame_sim_layer.fc")

    histograms = g.unit_length(colour_histograms(g, frames, frame_count))
    colour_similarity = similarity_to_neighbours(g, histograms, frame_count, "color_hist_layer.fc")

    joined = g.add("Concat", colour_similarity, frame_similarity, features, axis=1)
    hidden = g.add("Relu", g.linear(joined, "fc1"))
    for output, layer in (("cut", "cls_layer1"), ("change", "cls_layer2")):
        head = g.add("Reshape", g.linear(hidden, layer), g.constant([-1]))
        g.add("Sigmoid", head, name=output)


def main(weights_path, model_path):
    g = Graph(read_weights(weights_path), pathlib.Path(weights_path).name)
    transnet(g)
    unused = g.weights.keys() - g.initializers.keys()
    if unused:
        raise ValueError(f"the checkpoint has weights that the graph does not use: {sorted(unused)}")
    frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, [1, "T", HEIGHT, WIDTH, 3])
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["T"]) for n in ("cut", "change")]
    graph = helper.make_graph(g.nodes, "transnetv2", [frames], outputs, list(g.initializers.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8,
                              producer_name="make_graph.py")
    pathlib.Path(model_path).write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: make_graph.py WEIGHTS.pth model.onnx")
    main(*sys.argv[1:])
