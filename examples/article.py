"""A small network on the Wisconsin breast cancer data, written as for Keras: only the imports differ."""

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import tapegrad as tg
from tapegrad.models import Sequential
from tapegrad.nn import Dense
from tapegrad.optim import Adam

tg.set_backend("numpy")  # "cupy" moves everything below to a GPU
tg.manual_seed(42)  # optional: the same run every time

data = load_breast_cancer()
X = pd.DataFrame(data.data, columns=data.feature_names)
y = pd.Series(data.target, name="benign")
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)

scaler = StandardScaler()
X_train = pd.DataFrame(scaler.fit_transform(X_train), columns=X.columns)
X_test = pd.DataFrame(scaler.transform(X_test), columns=X.columns)

model = Sequential()
model.add(Dense(units=64, activation="relu", input_shape=(X_train.shape[1],)))
model.add(Dense(units=32, activation="relu"))
model.add(Dense(units=1, activation="sigmoid"))
optimizer = Adam()
# The steps of fit are compiled; run_eagerly=True calls the layers one by one, with the same numbers.
model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"])
model.fit(X_train, y_train, epochs=10, batch_size=32, validation_split=0.2)

y_pred = model.predict(X_test)
accuracy = accuracy_score(y_test, (y_pred > 0.5).astype(int))
print(f"test accuracy {accuracy:.4f}")
