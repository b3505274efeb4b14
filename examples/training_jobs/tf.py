"""Trains on the digits with TensorFlow on several workers, which find each other in TF_CONFIG.

Keras 3, which TensorFlow has brought along since 2.16, cannot train on several workers; its predecessor tf_keras can.
"""

import tensorflow
import tf_keras
from sklearn.datasets import load_digits

strategy = tensorflow.distribute.MultiWorkerMirroredStrategy()
images, labels = load_digits(return_X_y=True)
data = tensorflow.data.Dataset.from_tensor_slices((images / 16.0, labels)).shuffle(2000, seed=7).batch(64).repeat()

with strategy.scope():
    model = tf_keras.Sequential(
        [
            tf_keras.layers.Input(shape=(64,)),
            tf_keras.layers.Dense(64, activation="relu"),
            tf_keras.layers.Dense(10),
        ]
    )
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])

history = model.fit(data, epochs=10, steps_per_epoch=28, verbose=2)
print(f"accuracy={history.history['accuracy'][-1]:.4f} processes={strategy.num_replicas_in_sync}")
