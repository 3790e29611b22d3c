"""Pretraining and fine-tuning: the paper's recipes with their numbers as arguments, resumable to the bit.

    trainer, finetuner      the entrances: `pretrain` and `finetune`
      -> loop               from the first step or a checkpoint to the last step
        -> run              the state of a run: steps, averages, checkpoints (`checkpoint`), the log
          -> pretraining, finetuning     the tasks: what is trained (`objective`, `classifier_model`), on which
                            batches (`data` and `views`; `labels`, `labelled` and `draws`), by which `optimizers`

`data` opens images: `packs` in memory, or `listed` in files, which are `numbered` (tar `shards` kept as lists, Parquet
in `row_groups`), read with `retries`, and made into batches `ahead` of the step.

How a step is divided, between processes and in memory, is in `division`, `gradients` and `parallel`; checkpoints of
weights that are shared out in `sharded`; what model a recipe means in `shape`, and what it starts from in `start`.

`masking` makes the masks of a step; `attention_guide` and `loss_guide` score patches for two of its strategies, by
copies that `average` keeps.

`recipe` and `finetune_recipe` hold the numbers, `result` writes a pretrained model, `validation` judges a classifier,
and `classifier` is what a user holds of it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
