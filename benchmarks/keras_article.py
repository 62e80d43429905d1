"""The job of `tapegrad train` as a Keras user writes it, with scikit-learn's logistic regression."""

import csv
import sys
import time
from pathlib import Path

import keras
from matplotlib import pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

out = Path(sys.argv[1])
keras.utils.set_random_seed(42)

x, y = load_breast_cancer(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=42)
scaler = StandardScaler().fit(x_train)
x_train, x_test = scaler.transform(x_train), scaler.transform(x_test)

start = time.perf_counter()
logistic = LogisticRegression().fit(x_train, y_train)
logistic_time = time.perf_counter() - start
logistic_accuracy = accuracy_score(y_test, logistic.predict(x_test))
logistic_loss = log_loss(y_test, logistic.predict_proba(x_test))

model = keras.Sequential(
    [
        keras.Input((x.shape[1],)),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
start = time.perf_counter()
history = model.fit(x_train, y_train, epochs=10, batch_size=32, validation_split=0.2).history
mlp_time = time.perf_counter() - start
mlp_loss, mlp_accuracy = model.evaluate(x_test, y_test)

model.save(out / "model.keras")
with open(out / "history.csv", "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow(["epoch", *history])
    writer.writerows(
        [epoch, *values] for epoch, values in enumerate(zip(*history.values(), strict=True), start=1)
    )
figure, axes = plt.subplots(1, 2, figsize=(10, 4))
for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
    axis.plot(history[name], label="training")
    axis.plot(history[f"val_{name}"], label="validation")
    axis.set(title=name, xlabel="epoch")
    axis.legend()
figure.savefig(out / "history.png")

print(f"{'model':<22}{'accuracy':>10}{'loss':>10}{'seconds':>10}")
print(f"{'logistic regression':<22}{logistic_accuracy:>10.4f}{logistic_loss:>10.4f}{logistic_time:>10.2f}")
print(f"{'MLP 64-32-1':<22}{mlp_accuracy:>10.4f}{mlp_loss:>10.4f}{mlp_time:>10.2f}")
