"""Functions made of functions: their derivatives, and user's functions that become one recorded call.

derivatives    grad, value_and_grad, vjp and jvp: each is the backward loop, begun and ended elsewhere
jacobians      jacobian, hessian and hvp, made of these
check          check_grads: gradients against differences
custom, checkpoint, scan    a user's function as one recorded call: with a rule of its own, run again on the way back
               instead of kept, and repeated over an axis
calls          what these three share;  second_runs: what makes the second run of a function as the first one was
scan_probe     what the function of a scan takes and gives, seen by one step
"""
