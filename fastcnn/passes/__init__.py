"""The list of passes: rewrites of the graph that hold on every machine, in the order in which they run."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fastcnn.expansion import operators_of
from fastcnn.ir.graph import Graph
from fastcnn.passes.fold.affine_after import affine_after
from fastcnn.passes.fold.affine_before import affine_before
from fastcnn.passes.fold.constant_folding import constant_folding
from fastcnn.passes.fold.pad_folding import pad_folding
from fastcnn.passes.fold.reshape_targets import reshape_targets
from fastcnn.passes.fold.shape_knowledge import end_knowledge, shape_knowledge, start_knowledge
from fastcnn.passes.fuse.activation_fusion import activation_fusion
from fastcnn.passes.fuse.quantised_scaling import quantised_scaling
from fastcnn.passes.fuse.residual_fusion import residual_fusion
from fastcnn.passes.quantized.regions import QUANTISED, quantized_regions
from fastcnn.passes.recognise.activation_patterns import activation_patterns
from fastcnn.passes.recognise.channel_shuffle import gather_slicing, shuffle_to_gather
from fastcnn.passes.recognise.group_normalization import group_normalization
from fastcnn.passes.recognise.normalization_patterns import normalization_patterns
from fastcnn.passes.recognise.unshared_convolution import PRODUCTS, unshared_convolution
from fastcnn.passes.reorder.channel_order import reading_order, writing_order
from fastcnn.passes.reorder.pool_first import pool_first
from fastcnn.passes.reorder.separable_pool import separable_pool
from fastcnn.passes.reorder.transpose_sinking import transpose_sinking
from fastcnn.passes.simplify.bodies import body_constants, branch_inlining, optimised_bodies
from fastcnn.passes.simplify.dead_code import dead_code
from fastcnn.passes.simplify.duplicate_removal import duplicate_removal
from fastcnn.passes.simplify.identity_removal import identity_removal
from fastcnn.passes.simplify.shuffle_removal import RESHAPES, reshape_merging, transpose_merging
from fastcnn.passes.standardise.canonical_forms import FORMS, canonical_forms
from fastcnn.passes.standardise.contrib_forms import CONTRIB_FORMS, contrib_forms
from fastcnn.passes.standardise.experimental_forms import EXPERIMENTAL, experimental_forms
from fastcnn.passes.standardise.plain_forms import PLAIN_FORMS, plain_forms
from fastcnn.passes.standardise.quantized_forms import QUANTIZED_FORMS, quantized_forms
from fastcnn.passes.standardise.unpool_extents import unpool_extents
from fastcnn.passes.standardise.widen_half import widen_half

Pass = Callable[[Graph], bool]

PASSES: list[Pass] = [
    widen_half,  # before anything computes with a constant
    experimental_forms,  # before everything that knows operators by name
    contrib_forms,
    body_constants,  # before folding: bodies without anything from around them fold as a whole
    branch_inlining,
    constant_folding,  # first: everything after it looks for weights and sizes among the constants
    reshape_targets,  # right after: makes more constants of the same shape arithmetic
    shape_knowledge,  # once sizes have become constants
    canonical_forms,  # before everything that knows operators by name
    quantized_regions,  # once types are known; before plain_forms, which looks for weights among the constants
    plain_forms,  # likewise
    unpool_extents,  # while indices come from where they were found
    quantized_forms,  # likewise; before folding and fusion, which then see the floats between the integers
    unshared_convolution,  # before others move what moves elements
    identity_removal,  # nodes that do nothing stand between producers and consumers
    duplicate_removal,  # two readers of two equal nodes would both be kept from fusing
    transpose_merging,  # may leave transposes that identity_removal takes out in the next round
    group_normalization,  # before reshape_merging, which would join its Reshapes to others, and before affine_after
    shuffle_to_gather,  # before reshape_merging, which would take the middle out of one shuffle after another
    gather_slicing,
    reshape_merging,
    dead_code,  # unread nodes count as readers: away with them before readers are counted
    normalization_patterns,  # before affine_after, which would take their scale and bias away
    activation_patterns,  # before affine_after, which would take the +3 of HardSwish for a bias
    transpose_sinking,  # before affine_after and residual_fusion, which take in what it moves
    affine_after,  # before affine_before: the operator before is as likely to take it and always exact
    affine_before,
    pad_folding,  # after affine_before, which folds shifts only where there is no padding
    pool_first,  # after affine_before, which looks for a convolution where it then finds a pooling
    separable_pool,  # after pad_folding, which knows a window with its padding
    activation_fusion,  # after all that changes what stands before an activation
    quantised_scaling,  # after activation_fusion, and after affine_after, which leaves no node of what it folds
    residual_fusion,  # after activation_fusion: the Add brings its activation along, a conv with its own is not taken
    reading_order,  # after all that makes other weights of weights
    writing_order,  # after reading_order, which sorts what it looks for
    dead_code,  # what the others left without readers
]

CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})

# Operators that a pass looks for: it has nothing to do in a graph that has none of them. Passes that are not here look at every node.
LOOKS_FOR: dict[Pass, frozenset[str]] = {
    experimental_forms: operators_of(EXPERIMENTAL),
    contrib_forms: operators_of(CONTRIB_FORMS),
    body_constants: CONTROL_FLOW,
    branch_inlining: CONTROL_FLOW,
    reshape_targets: frozenset({"Reshape"}),
    canonical_forms: frozenset(FORMS),
    quantized_regions: QUANTISED,
    plain_forms: operators_of(PLAIN_FORMS),
    unpool_extents: frozenset({"MaxUnpool"}),
    quantized_forms: operators_of(QUANTIZED_FORMS),
    unshared_convolution: frozenset({*PRODUCTS, "LocallyConnected"}),
    transpose_merging: frozenset({"Transpose"}),
    group_normalization: frozenset({"InstanceNormalization"}),
    shuffle_to_gather: frozenset({"Transpose"}),
    gather_slicing: frozenset({"Gather"}),
    reshape_merging: RESHAPES,
    transpose_sinking: frozenset({"Transpose"}),
    pad_folding: frozenset({"Pad"}),
    pool_first: frozenset({"AveragePool"}),
    separable_pool: frozenset({"MaxPool", "AveragePool"}),
    quantised_scaling: frozenset({"QuantizeBytes"}),
    residual_fusion: frozenset({"Add"}),
    reading_order: frozenset({"Gather"}),
    writing_order: frozenset({"Gather"}),
}

# Chains of foldable nodes need a few rounds; more would be two passes undoing each other.
MAX_ROUNDS = 50


def run_passes(graph: Graph) -> Graph:
    """A copy of the graph, rewritten until no pass changes it."""
    graph = replace(graph, constants=dict(graph.constants), types=dict(graph.types), shapes=dict(graph.shapes),
                    contents=None if graph.contents is None else dict(graph.contents))
    start_knowledge(graph)
    with np.errstate(all="ignore"):         # constants of a model may overflow; what becomes of them is checked
        changes, unchanged = 0, [-1] * len(PASSES)          # for each pass: the number of changes after which it found nothing to do
        for _ in range(MAX_ROUNDS):
            before = changes
            for k, rewrite in enumerate(PASSES):
                wanted = LOOKS_FOR.get(rewrite)
                if unchanged[k] == changes or (wanted is not None and wanted.isdisjoint(graph.operators())):
                    continue
                if rewrite(graph):
                    changes += 1
                else:
                    unchanged[k] = changes
            if changes == before:
                break
    end_knowledge(graph)
    optimised_bodies(graph, run_passes)
    return graph
