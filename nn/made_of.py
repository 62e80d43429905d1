"""The options of layers that only the making of the weights reads: setting one later would change nothing."""

# Of every layer whose class does not say otherwise.
MADE_OF = frozenset((
    # how many
    "units", "filters", "kernel_size", "depth_multiplier", "groups", "in_features", "out_features", "input_shape",
    "in_channels", "out_channels", "num_features", "num_channels", "normalized_shape", "input_dim", "output_dim",
    "sequence_length", "num_heads", "key_dim", "value_dim", "embed_dim", "reset_after",
    # which
    "use_bias", "center", "scale", "affine", "elementwise_affine", "track_running_stats",
    # from what
    "initializer", "kernel_initializer", "bias_initializer", "recurrent_initializer", "depthwise_initializer",
    "pointwise_initializer", "gamma_initializer", "beta_initializer", "moving_mean_initializer",
    "moving_variance_initializer", "embeddings_initializer", "unit_forget_bias",
))  # fmt: skip
