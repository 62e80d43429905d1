"""The primitives, by subject. Where the public function checks or fills in arguments first, its primitive has the same
name with `_p`."""

from tapegrad.autograd import foreign as _foreign
from tapegrad.autograd.ops.activations import *
from tapegrad.autograd.ops.arranging import *
from tapegrad.autograd.ops.convolution import *
from tapegrad.autograd.ops.cumulative import *
from tapegrad.autograd.ops.einsum import *
from tapegrad.autograd.ops.elementwise import *
from tapegrad.autograd.ops.gates import *
from tapegrad.autograd.ops.indexing import *
from tapegrad.autograd.ops.linalg import *
from tapegrad.autograd.ops.logic import *
from tapegrad.autograd.ops.losses import *
from tapegrad.autograd.ops.normalize import *
from tapegrad.autograd.ops.pooling import *
from tapegrad.autograd.ops.reductions import *
from tapegrad.autograd.ops.shape import *
from tapegrad.autograd.ops.statistics import *
from tapegrad.autograd.primitive import Primitive

# The public functions, in the order of the array API standard's chapters. tg exports them; all but FUNCTIONS_ONLY are
# also methods of Tensor.
PUBLIC = (
    # elementwise
    "abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_invert",
    "bitwise_or", "bitwise_xor", "ceil", "clip", "cos", "cosh", "divide", "equal", "erf", "exp", "expm1", "floor",
    "floor_divide", "greater", "greater_equal", "hypot", "isfinite", "isinf", "isnan", "less", "less_equal", "log",
    "log1p", "log2", "log10", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum", "minimum",
    "multiply", "negative", "not_equal", "positive", "power", "relu", "remainder", "round", "sigmoid", "sign",
    "sin", "sinh", "softplus", "sqrt", "square", "subtract", "tan", "tanh", "trunc", "where",
    # over axes
    "all", "any", "argmax", "argmin", "argsort", "cumulative_prod", "cumulative_sum", "diff", "log_softmax",
    "logsumexp", "max", "mean", "min", "prod", "softmax", "sort", "std", "sum", "top_k", "var",
    # shape and dtype
    "astype", "broadcast_to", "concat", "expand_dims", "flatten", "flip", "matrix_transpose", "meshgrid", "moveaxis",
    "one_hot", "pad", "permute_dims", "repeat", "reshape", "roll", "split", "squeeze", "stack", "tile", "tril", "triu",
    "unstack",
    # products, and reading and writing at an index
    "einsum", "getitem", "index_add", "index_update", "linear", "matmul", "outer", "take", "take_along_axis",
    "tensordot", "vecdot",
)  # fmt: skip
# x is not their first argument; and `repeat`, which as a method is `tile` in PyTorch
FUNCTIONS_ONLY = frozenset(
    {"concat", "einsum", "getitem", "linear", "meshgrid", "one_hot", "repeat", "stack", "where"}
)

ACTIVATIONS = ("hard_sigmoid", "hard_silu", "log_sigmoid", "relu6", "softsign")  # of tg.nn.functional

for _name in (*PUBLIC, *ACTIVATIONS):
    _value = globals()[_name]
    if isinstance(_value, Primitive):
        _value.describe_arguments()
    else:
        globals()[_name] = _foreign.answering(_value)
