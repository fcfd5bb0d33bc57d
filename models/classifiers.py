"""The table of networks that classify an image, find joints in it or choose an action."""
from __future__ import annotations

from models.alexnet import alexnet
from models.amoebanet import amoebanet_d_18_208, amoebanet_d_18_416
from models.builder import Builder
from models.convnext import convnext_tiny
from models.deeppose import JOINTS, deeppose, deeppose_cascade
from models.densenet import densenet121
from models.dqn import ACTIONS, dqn, dqn_2013
from models.efficientnet import (
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
    efficientnet_b8,
)
from models.googlenet import googlenet
from models.inception_v3 import inception_v3, inception_v3_aux
from models.inception_v4 import inception_v4
from models.lenet import lenet5
from models.mobilenet import mobilenet_v1, mobilenet_v2
from models.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from models.neocognitron import PLANES, neocognitron
from models.pnasnet import pnasnet5_large, pnasnet5_mobile
from models.resnet import plain34, resnet18, resnet34, resnet50, resnet101, resnet152, resnext101_64x4d
from models.shufflenet import shufflenet_v2_x0_5, shufflenet_v2_x1_0, shufflenet_v2_x1_5, shufflenet_v2_x2_0
from models.small import cs231n_cifar, keras_cifar10, keras_mnist, mnist_cnn
from models.squeezenet import squeezenet1_1
from models.vgg import vgg11, vgg11_lrn, vgg13, vgg16, vgg16_c, vgg19
from models.zfnet import zfnet


def _square(extent: int) -> tuple[int, int, int]:
    return (3, extent, extent)


IMAGE = _square(224)
CLASSES = (1000,)

VGG, RESNET, EFFICIENTNET = "Simonyan, Zisserman 2015", "He et al. 2016", "Tan, Le 2019"
INCEPTION_V3, MOBILENET_V3, SHUFFLENET = "Szegedy et al. 2016", "Howard et al. 2019", "Ma et al. 2018"

CLASSIFIERS: dict[str, Builder] = {
    "neocognitron":       Builder(neocognitron, (1, 16, 16), (PLANES,), None, None, "Fukushima 1980"),
    "lenet5":             Builder(lenet5, (1, 32, 32), (10,), 60_000, None, "LeCun et al. 1998"),
    "cs231n_cifar":       Builder(cs231n_cifar, (3, 32, 32), (10,), 7_000, None, "Stanford CS231n"),
    "keras_cifar10":      Builder(keras_cifar10, (3, 32, 32), (10,), 1_250_858, None, "Keras 2, cifar10_cnn.py"),
    "keras_mnist":        Builder(keras_mnist, (1, 28, 28), (10,), 34_826, None, "keras.io, Simple MNIST convnet"),
    "mnist_cnn":          Builder(mnist_cnn, (1, 28, 28), (10,), 1_199_882, None, "Keras 2, mnist_cnn.py"),
    "alexnet":            Builder(alexnet, _square(227), CLASSES, 60_965_224, 724_000_000, "Krizhevsky et al. 2012"),
    "zfnet":              Builder(zfnet, IMAGE, CLASSES, 62_357_608, None, "Zeiler, Fergus 2014"),
    "vgg11":              Builder(vgg11, IMAGE, CLASSES, 132_863_336, 7_609_000_000, VGG),
    "vgg11_lrn":          Builder(vgg11_lrn, IMAGE, CLASSES, 133_000_000, None, VGG),
    "vgg13":              Builder(vgg13, IMAGE, CLASSES, 133_047_848, 11_308_000_000, VGG),
    "vgg16_c":            Builder(vgg16_c, IMAGE, CLASSES, 134_000_000, None, VGG),
    "vgg16":              Builder(vgg16, IMAGE, CLASSES, 138_357_544, 15_470_000_000, VGG),
    "vgg19":              Builder(vgg19, IMAGE, CLASSES, 143_667_240, 19_632_000_000, VGG),
    "googlenet":          Builder(googlenet, IMAGE, CLASSES, 6_998_552, 1_500_000_000, "Szegedy et al. 2015"),
    "inception_v3":       Builder(inception_v3, _square(299), CLASSES, 23_834_568, 5_713_000_000, INCEPTION_V3),
    "inception_v3_aux":   Builder(inception_v3_aux, _square(299), None, 27_161_264, None, INCEPTION_V3),
    "inception_v4":       Builder(inception_v4, _square(299), CLASSES, 42_679_816, 12_300_000_000, "Szegedy et al. 2017"),
    "resnet18":           Builder(resnet18, IMAGE, CLASSES, 11_689_512, 1_814_000_000, RESNET),
    "resnet34":           Builder(resnet34, IMAGE, CLASSES, 21_797_672, 3_664_000_000, RESNET),
    "plain34":            Builder(plain34, IMAGE, CLASSES, None, 3_600_000_000, RESNET),
    "resnet50":           Builder(resnet50, IMAGE, CLASSES, 25_557_032, 4_089_000_000, RESNET),
    "resnet101":          Builder(resnet101, IMAGE, CLASSES, 44_549_160, 7_801_000_000, RESNET),
    "resnet152":          Builder(resnet152, IMAGE, CLASSES, 60_192_808, 11_514_000_000, RESNET),
    "resnext101_64x4d":   Builder(resnext101_64x4d, IMAGE, CLASSES, 83_455_272, 15_460_000_000, "Xie et al. 2017"),
    "squeezenet1_1":      Builder(squeezenet1_1, IMAGE, CLASSES, 1_235_496, 349_000_000, "Iandola et al. 2016"),
    "densenet121":        Builder(densenet121, IMAGE, CLASSES, 7_978_856, 2_834_000_000, "Huang et al. 2017"),
    "mobilenet_v1":       Builder(mobilenet_v1, IMAGE, CLASSES, 4_200_000, 569_000_000, "Howard et al. 2017"),
    "mobilenet_v2":       Builder(mobilenet_v2, IMAGE, CLASSES, 3_504_872, 301_000_000, "Sandler et al. 2018"),
    "mobilenet_v3_small": Builder(mobilenet_v3_small, IMAGE, CLASSES, 2_542_856, 57_000_000, MOBILENET_V3, opset=14),
    "mobilenet_v3_large": Builder(mobilenet_v3_large, IMAGE, CLASSES, 5_483_032, 217_000_000, MOBILENET_V3, opset=14),
    "shufflenet_v2_x0_5": Builder(shufflenet_v2_x0_5, IMAGE, CLASSES, 1_366_792, 40_000_000, SHUFFLENET),
    "shufflenet_v2_x1_0": Builder(shufflenet_v2_x1_0, IMAGE, CLASSES, 2_278_604, 145_000_000, SHUFFLENET),
    "shufflenet_v2_x1_5": Builder(shufflenet_v2_x1_5, IMAGE, CLASSES, 3_503_624, 296_000_000, SHUFFLENET),
    "shufflenet_v2_x2_0": Builder(shufflenet_v2_x2_0, IMAGE, CLASSES, 7_393_996, 583_000_000, SHUFFLENET),
    "efficientnet_b0":    Builder(efficientnet_b0, _square(224), CLASSES, 5_288_548, 386_000_000, EFFICIENTNET),
    "efficientnet_b1":    Builder(efficientnet_b1, _square(240), CLASSES, 7_794_184, 687_000_000, EFFICIENTNET),
    "efficientnet_b2":    Builder(efficientnet_b2, _square(260), CLASSES, 9_109_994, 1_000_000_000, EFFICIENTNET),
    "efficientnet_b3":    Builder(efficientnet_b3, _square(300), CLASSES, 12_233_232, 1_827_000_000, EFFICIENTNET),
    "efficientnet_b4":    Builder(efficientnet_b4, _square(380), CLASSES, 19_341_616, 4_394_000_000, EFFICIENTNET),
    "efficientnet_b5":    Builder(efficientnet_b5, _square(456), CLASSES, 30_389_784, 10_266_000_000, EFFICIENTNET),
    "efficientnet_b6":    Builder(efficientnet_b6, _square(528), CLASSES, 43_040_704, 19_068_000_000, EFFICIENTNET),
    "efficientnet_b7":    Builder(efficientnet_b7, _square(600), CLASSES, 66_347_960, 37_746_000_000, EFFICIENTNET),
    "efficientnet_b8":    Builder(efficientnet_b8, _square(672), CLASSES, 87_413_142, 63_500_000_000, "Xie et al. 2020"),
    "pnasnet5_mobile":    Builder(pnasnet5_mobile, IMAGE, CLASSES, 5_100_000, 588_000_000, "Liu et al. 2018"),
    "pnasnet5_large":     Builder(pnasnet5_large, _square(331), CLASSES, 86_057_668, 25_000_000_000, "Liu et al. 2018"),
    "amoebanet_d_18_208": Builder(amoebanet_d_18_208, IMAGE, CLASSES, 82_000_000, None, "Real et al. 2019; Huang et al. 2019"),
    "amoebanet_d_18_416": Builder(amoebanet_d_18_416, IMAGE, CLASSES, 318_000_000, None, "Real et al. 2019; Huang et al. 2019"),
    "convnext_tiny":      Builder(convnext_tiny, IMAGE, CLASSES, 28_589_128, 4_456_000_000, "Liu et al. 2022", opset=17),
    "deeppose":           Builder(deeppose, _square(220), (2 * JOINTS,), 40_000_000, None, "Toshev, Szegedy 2014"),
    "deeppose_cascade":   Builder(deeppose_cascade, _square(220), (JOINTS, 2), None, None, "Toshev, Szegedy 2014", opset=16,
                                  proposals=JOINTS),
    "dqn":                Builder(dqn, (4, 84, 84), (ACTIONS,), 1_693_362, None, "Mnih et al. 2015"),
    "dqn_2013":           Builder(dqn_2013, (4, 84, 84), (ACTIONS,), None, None, "Mnih et al. 2013"),
}
