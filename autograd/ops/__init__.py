"""The primitives, by subject. Where the public function checks or fills in arguments first, its primitive has the same
name with `_p`."""

from tapegrad.autograd.ops.elementwise import *  # noqa: F403
from tapegrad.autograd.ops.indexing import *  # noqa: F403
from tapegrad.autograd.ops.linalg import *  # noqa: F403
from tapegrad.autograd.ops.losses import *  # noqa: F403
from tapegrad.autograd.ops.reductions import *  # noqa: F403
from tapegrad.autograd.ops.shape import *  # noqa: F403
