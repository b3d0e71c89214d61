"""Learning rate schedules."""

import keras


@keras.saving.register_keras_serializable("keras_pibnas")
class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate schedule times a factor."""

    def __init__(self, schedule, factor):
        self.schedule, self.factor = schedule, factor

    def __call__(self, step):
        return self.factor * self.schedule(step)

    def get_config(self):
        return {"schedule": keras.optimizers.schedules.serialize(self.schedule), "factor": self.factor}

    @classmethod
    def from_config(cls, config):
        return cls(keras.optimizers.schedules.deserialize(config["schedule"]), config["factor"])


def cosine(learning_rate: float, steps: int, last: float = 0.0) -> keras.optimizers.schedules.CosineDecay:
    """A cosine from `learning_rate` at the first step to `last` after all of them; to itself where `last` is larger."""
    return keras.optimizers.schedules.CosineDecay(learning_rate, steps, alpha=min(1.0, last / learning_rate))
