"""The kernel of a product as LLVM IR text, for vectors of a width: `i32 name(ptr table, ptr scratch)`, which returns 0.

The table holds the pointers to the first elements of a, b, c and, where the epilogue adds one, of the bias. `scratch`
is memory for copies, from a cache line on, of which `scratch_bytes` says how much. `products` says what a Product is.
"""

from tapegrad.compiler.emit.native.product_depth import DepthKernel
from tapegrad.compiler.emit.native.product_groups import GroupedKernel, is_grouped
from tapegrad.compiler.emit.native.product_kernel import Kernel
from tapegrad.compiler.emit.native.product_panels import pack_text
from tapegrad.compiler.emit.native.product_tiles import PanelsKernel, TileKernel
from tapegrad.compiler.emit.native.products import Product, readable
from tapegrad.compiler.emit.native.vector_text import declarations

__all__ = ["declarations", "pack_text", "panels_text", "product_text", "scratch_bytes"]


def product_text(product: Product, name: str, bits: int, fused: bool = True) -> str:
    """The definition of the kernel on vectors of `bits` (512, 256 or 128).

    `fused`: the machine multiplies and adds in one instruction. The text calls intrinsics, whose `declarations(bits)`
    stand once in a module. The order of the sums depends on the product's `vectors` and depth, on `bits` and `fused`
    alone: the kernel of a part of the rows or columns computes the same bits.

    Raises ValueError if its vectors do not lie one element after another; those of `products.arranged` do.
    """
    return kernel_of(product, bits, fused).text(name)


def scratch_bytes(product: Product, bits: int, fused: bool = True) -> int:
    """How much memory the kernel of `product_text` writes copies to."""
    return kernel_of(product, bits, fused).scratch


def panels_text(product: Product, name: str, bits: int, fused: bool = True) -> tuple[str, int]:
    """(the definition of `i32 name(ptr table, ptr scratch)` that copies the operand of a `packable` product into the
    panels that the kernel of the product with `packed` reads, how many elements these take).

    The table holds the operand and the copy.
    """
    kernel = PanelsKernel(product, bits, fused)
    return kernel.text(name), kernel.elements


def kernel_of(product: Product, bits: int, fused: bool) -> Kernel:
    if not readable(product):
        raise ValueError(
            f"product_text: the vectors of {product} need strides of 1\n"
            "Write arranged(product) and run every step that it lists"
        )
    if is_grouped(product, bits):
        return GroupedKernel(product, bits, fused)
    form = DepthKernel if product.vectors == "depth" else TileKernel
    return form(product, bits, fused)
