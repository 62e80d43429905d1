"""What becomes one kernel: elementwise blocks, reductions with what they alone need, and single operations."""

from heapq import heappop, heappush

from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Shape, Var
from tapegrad.compiler.plan.blocks import Block, blocks

# A reduction takes its run of elementwise operations along if one block of threads is enough for each result; CuPy's
# own reductions spread a long one over many blocks, if they find it in memory.
ONE_BLOCK = 8192
MOST_ARRAYS = 40  # of one kernel: its arguments must fit into 4 KB


def no_kernel(op: Op) -> bool:
    """Whether it is one call of CuPy's, since its row has no CUDA."""
    return op.operation.cuda is None


def device_blocks(program: Program) -> list[Block]:
    """The program cut into kernels and single operations."""
    cutter = Cutter(program)
    return [kernel for block in blocks(program, alone=no_kernel) for kernel in cutter.cut(block)]


class Cutter:
    """Cuts blocks into kernels."""

    def __init__(self, program: Program) -> None:
        self.kept = set(program.kept())
        self.users: dict[Var, set[int]] = {}
        self.maker: dict[Var, Op] = {}
        self.position: dict[int, int] = {}
        for at, op in enumerate(program.ops):
            self.maker[op.out] = op
            self.position[id(op)] = at
            for v in op.vars:
                self.users.setdefault(v, set()).add(id(op))

    def cut(self, block: Block) -> list[Block]:
        if block.shape is None:
            return [block]
        left = {id(op): op for op in block.ops if op.kind is not Kind.REDUCTION}
        ends = []
        for end in block.ops:
            if end.kind is Kind.REDUCTION:
                own = self.with_its_inputs(end, left, block.shape)
                for op in own:
                    left.pop(id(op), None)
                ends.append(Block(own, block.shape, self.inner(own)))
        return self.kernels(list(left.values()), block.shape) + ends

    def with_its_inputs(self, end: Op, left: dict[int, Op], shape: Shape) -> list[Op]:
        """A reduction, after the operations among those left whose results it alone needs, if they fit a kernel."""
        if end.vars[0].size > ONE_BLOCK * max(end.out.size, 1):
            return [end]
        own = [end]
        mine = {id(end)}
        candidates: list[tuple[int, int]] = []  # (minus the position, id): users come before what they use
        while True:
            for v in own[-1].vars:
                made_by = id(self.maker.get(v))
                if made_by in left and v not in self.kept:
                    heappush(candidates, (-self.position[made_by], made_by))
            while candidates:
                _, made_by = heappop(candidates)
                op = left[made_by]
                if made_by not in mine and self.users.get(op.out, set()) <= mine:
                    own.append(op)
                    mine.add(made_by)
                    break
            else:
                break
        own.reverse()
        return own if len(self.kernels(own, shape)) == 1 else [end]

    def inner(self, ops: list[Op]) -> set[Var]:
        """What is made and used up by these operations."""
        here = {id(op) for op in ops}
        return {
            op.out for op in ops
            if op.kind is Kind.ELEMENTWISE and op.out not in self.kept and self.users.get(op.out, set()) <= here
        }  # fmt: skip

    def kernels(self, ops: list[Op], shape: Shape) -> list[Block]:
        """Operations as kernels of so few arrays that a kernel can take them."""
        inner = self.inner(ops)
        if len({v for op in ops for v in (*op.vars, op.out)} - inner) <= MOST_ARRAYS or len(ops) == 1:
            return [Block(ops, shape, inner)] if ops else []
        half = len(ops) // 2
        return self.kernels(ops[:half], shape) + self.kernels(ops[half:], shape)
