"""Models as files for other runtimes: ONNX, torch.export and OpenVINO, each checked on photographs before it is kept.

    run             export(): the arguments are checked, the files are written to a place of their own, checked, renamed
      -> settings   what is asked for
      -> task       a task with its preprocessing as one module, in its number format
      -> formats    that module as files
      -> runtimes   a file opened again, without torch where its format needs none
      -> facts      what a file says of itself: preprocessing, weights, licence
      -> check      the runtime held against eager PyTorch
      -> report     what was written and measured

Graphs are made by `maezoo.engines.graph`, as those of the engines are.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
