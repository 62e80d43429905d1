"""How linear models are fitted to the end. `linear`, `linear_classifiers` and `svm` are the estimators that call them.

least squares        least_squares, of sparse rows; penalized, ridge and elastic net; quadratic, symmetric systems and
                     L1 penalties of quadratic problems
smooth losses        glm, Newton's method on the host; proximal, with an L1 penalty; objective, what both minimize;
                     convex_losses, the losses with their derivatives; convex, Newton's method with Tensors, for a GPU
losses with edges    hinge, the hinge and the absolute error; l1_hinge, the squared hinge with an L1 penalty

All take and return NumPy arrays in float64. None is public.
"""
