"""Pretraining and fine-tuning: the paper's recipes with their numbers as arguments, resumable to the bit.

trainer, finetuning     the entrances: `pretrain` and `finetune`
-> loop               from the first step or a checkpoint to the last step
-> run              the state of a run: steps, averages, the log
-> task           what a run needs of what it trains: `pretraining`, or that of `finetuning`

recipe                  the numbers of pretraining; `shape` is the model that they mean, `start` the weights that it
starts from, `objective` its loss, `result` the file of the finished model
checkpoint              all that a run is resumed from; `keeping` says which stay, `origin` what a run continues
optimizers              with their state as named tensors

sources                 images to train on
masking                 which patches are hidden in a step
processes               a step that several processes share
watching                logs, dashboards, pictures, probes
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
