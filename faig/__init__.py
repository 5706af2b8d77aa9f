"""Discriminative filters of blind super-resolution networks: attribution, masking, prediction.

Glossary (one word, one meaning, in code, files and documentation):

HR, LR, SR
    High-resolution photograph, low-resolution input of a network, the network's output. At scale 1 all three are of one
    size, and LR is degraded, no more.
degradation
    What turns HR into LR: a list of operations with one ``downsample`` among them (none at scale 1), or files that are
    given. ``clean`` is downsampling alone.
filter
    One k x k kernel of a convolution: (layer, out_channel, in_channel), in a linear layer one weight; or, by
    ``granularity``, all of one output channel. Biases are not filters.
baseline
    The network that the target was fine-tuned from. Trained here, on ``clean`` only: it upscales and removes no
    degradation. Weights theta-bar in the paper.
factory, frame
    A function of the user's that builds a network; what fits the project's images to a network of someone else's.
target
    The baseline fine-tuned on degraded inputs. Weights theta. ``blind``: on all degradations; a specialist
    (``only_blur``): on one. The main target is the one that metrics, predictor and argument are about.
kinship
    How alike the weights of baseline and target are, by correlation and distance. Filters of networks that were not
    trained one from the other do not correspond.
contrast
    The inputs a degradation is compared with when its filters are sought.
score
    One number per filter, per degradation, per method.
discovered filters
    The top ``mask_ratio`` share of the filters by the score of ``method``.
learned mask
    Filters that, masked, make the target the baseline on one degradation and leave it as it is on all others, found by
    gradient descent; the method ``learned`` ranks all filters by how well they serve that.
mission, argument
    The two pipelines: dvc.yaml, from photographs to masks and predictions; argument/dvc.yaml, what else the paper
    claims.
measurement, number
    What a stage finds by running networks, a row per image, as Parquet; what the stages ``summarize`` and ``claims``
    make of it: a value with its interval.
report
    A run's results as a page: what the stage ``report`` makes of numbers, scores, weights and images.
dial
    The discovered filters of one degradation, moved together: lambda 0 is masked, 1 the target, more goes beyond it.
plug-in
    Kernels at a few filters of one baseline, in a file of their own, that add an ability to it; its *strength* lambda
    says how much of them is put in.
task vector
    The change of all weights from the baseline to a network that was fine-tuned from it.
mask
    Put the baseline's weights back at the discovered filters of the target; biases stay the target's.
deletion, insertion
    The two curves over the share of the filters: those filters masked, and all filters but those masked.
best found
    Of all methods' sets of one size, the one that removes most and takes least along: no more than a lower bound of
    what is possible.

Paper: Xie et al., "Finding Discriminative Filters for Specific Degradations in Blind Super-Resolution", NeurIPS 2021.
"""
