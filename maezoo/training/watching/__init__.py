"""Watching a run: its log, what else it is told to, its pictures and probes, and what a log tells afterwards.

    watch               the settings, and what is done with them between steps
      -> probing, pictures      how good the weights are that would be kept now
      -> journal        `log.jsonl`, `run.json` and the sinks
        -> sinks        TensorBoard, Trackio, Weights & Biases
        -> records      lines of the log, read whatever state they are in
    summary             a run's folder in a few numbers, for people and programs

Nothing here changes what is trained: weights are copied, and all that is drawn comes from generators of its own.
"""
