"""The primitives, by subject. Where the public function checks or fills in arguments first, its primitive has the same
name with `_p`."""

from tapegrad.autograd.ops.activations import *
from tapegrad.autograd.ops.elementwise import *
from tapegrad.autograd.ops.indexing import *
from tapegrad.autograd.ops.linalg import *
from tapegrad.autograd.ops.losses import *
from tapegrad.autograd.ops.reductions import *
from tapegrad.autograd.ops.shape import *
from tapegrad.autograd.ops.statistics import *
