"""The table of networks that do more than classify an image: segmentation, detection, captions, faces, video, filters."""
from __future__ import annotations

from models.builder import Builder
from models.captioner import neuraltalk2
from models.deepface import deepface
from models.deformable import deformable_resnet50, deformable_resnet101
from models.dilation import context_basic, context_large, dilation8
from models.enet import enet
from models.farabet import farabet
from models.faster_rcnn import faster_rcnn_vgg16
from models.fcn import fcn8s, fcn16s, fcn32s, fcn_resnet50
from models.image_filters import image_filters
from models.ssd import ssd300_vgg16
from models.video import c3d, r3d_18

SCENE = (3, 500, 500)
LABELS = (21, 500, 500)
SCORES = (21, 64, 64)
CLIP = (3, 16, 112, 112)
DAI = "Dai et al. 2017"
YU = "Yu, Koltun 2016"

TASKS: dict[str, Builder] = {
    "enet":                  Builder(enet, (3, 360, 640), (20, 360, 640), 370_000, 1_915_000_000, "Paszke et al. 2016"),
    "fcn32s":                Builder(fcn32s, SCENE, LABELS, 134_000_000, None, "Long et al. 2015"),
    "fcn16s":                Builder(fcn16s, SCENE, LABELS, 134_000_000, None, "Long et al. 2015"),
    "fcn8s":                 Builder(fcn8s, SCENE, LABELS, 134_000_000, None, "Long et al. 2015"),
    "fcn_resnet50":          Builder(fcn_resnet50, (3, 520, 520), (21, 520, 520), 32_957_013, None, "Long et al. 2015; He et al. 2016"),
    "context_basic":         Builder(context_basic, SCORES, SCORES, 28_224, None, YU),
    "context_large":         Builder(context_large, SCORES, SCORES, None, None, YU),
    "dilation8":             Builder(dilation8, (3, 900, 900), (21, 66, 66), None, None, YU),
    "farabet":               Builder(farabet, (3, 240, 320), (8, 240, 320), None, None, "Farabet et al. 2013"),
    "ssd300_vgg16":          Builder(ssd300_vgg16, (3, 300, 300), None, 35_641_826, 34_858_000_000, "Liu et al. 2016", single=True),
    "faster_rcnn_vgg16":     Builder(faster_rcnn_vgg16, (3, 600, 800), None, 137_078_239, None, "Ren et al. 2015", single=True,
                                     proposals=300),
    "deformable_resnet50":   Builder(deformable_resnet50, (3, 512, 512), (21, 512, 512), None, None, DAI, opset=19),
    "deformable_resnet101":  Builder(deformable_resnet101, (3, 512, 512), (21, 512, 512), None, None, DAI, opset=19),
    "neuraltalk2":           Builder(neuraltalk2, (3, 224, 224), None, None, None, "Vinyals et al. 2015; Karpathy 2015"),
    "deepface":              Builder(deepface, (3, 152, 152), (4030,), 120_000_000, None, "Taigman et al. 2014"),
    "image_filters":         Builder(image_filters, (3, 480, 640), None, None, None, "Sobel, Feldman 1968; textbooks"),
    "c3d":                   Builder(c3d, CLIP, (101,), 78_409_573, 38_615_475_200, "Tran et al. 2015"),
    "r3d_18":                Builder(r3d_18, CLIP, (400,), 33_371_472, 40_697_000_000, "Tran et al. 2018"),
}
