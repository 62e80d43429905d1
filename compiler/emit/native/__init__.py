"""Programs as machine code: fused loops and products as LLVM IR, compiled by llvmlite."""
