"""Lets a CPU-only torch import the torchvision wheel, whose operators are built for another torch: declares what that would itself declare if they could be loaded.

Imported, or copied to where a subprocess finds it as its `sitecustomize`.
"""

import importlib.abc
import sys


class _DeclareOperators(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            self.library = torch.library.Library("torchvision", "DEF")
            self.library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            self.library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            sys.modules[__name__]._kept = self
        return None


sys.meta_path.insert(0, _DeclareOperators())
