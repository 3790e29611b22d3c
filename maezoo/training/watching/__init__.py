"""Watching a run: its log and dashboards, its pictures and probes, and a summary of a run's folder.

    watch               the settings, and what is done with them between steps
      -> probing, pictures      how good the weights are that would be kept now
      -> journal        `log.jsonl`, `run.json` and the sinks
        -> sinks        TensorBoard, Trackio, Weights & Biases
        -> records      lines of the log, read whatever state they are in
    summary             a run's folder in a few numbers, for people and programs

Nothing here changes the trained weights: they are copied, and random numbers come from generators of its own.
"""
