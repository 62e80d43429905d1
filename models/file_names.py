"""Names of files that promise another format than the one a model is written in."""

from pathlib import Path

from tapegrad.autograd.aliases import PathName

OTHER_FORMATS = {
    ".keras": "Keras's", ".h5": "HDF5", ".hdf5": "HDF5", ".tf": "TensorFlow's", ".pb": "TensorFlow's",
    ".tflite": "TensorFlow's", ".pt": "PyTorch's", ".pth": "PyTorch's", ".ckpt": "PyTorch's", ".onnx": "ONNX",
    ".pkl": "pickle's", ".pickle": "pickle's", ".joblib": "joblib's", ".npz": "NumPy's", ".npy": "NumPy's",
    ".json": "JSON", ".yaml": "YAML", ".csv": "CSV", ".zip": "ZIP",
}  # fmt: skip


def check_name(path: PathName, who: str) -> None:
    """Raise ValueError for a path whose ending promises another format than safetensors."""
    suffix = Path(path).suffix.lower()
    if suffix in OTHER_FORMATS:
        name = Path(path).with_suffix(".safetensors").name
        raise ValueError(
            f"{who}: {str(path)!r}: a model is written as a safetensors file, and {suffix} is {OTHER_FORMATS[suffix]} "
            f"format: name it {name!r}"
        )
