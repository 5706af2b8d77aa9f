"""Discriminative filters of blind super-resolution networks: attribution, masking, prediction.

Glossary (one word, one meaning, in code, files and documentation):

HR, LR, SR
    High-resolution photograph, low-resolution input of a network, the network's output.
degradation
    What turns HR into LR: a list of operations with one ``downsample`` among them. ``clean`` is downsampling alone.
filter
    One k x k kernel of a convolution: (layer, out_channel, in_channel). Biases are not filters.
baseline
    Network trained on ``clean`` only: it upscales and removes no degradation. Weights theta-bar in the paper.
target
    The baseline fine-tuned on degraded inputs. Weights theta. ``blind``: on all degradations; a specialist: on one.
contrast
    The inputs a degradation is compared with when its filters are sought.
score
    One number per filter, per degradation, per method.
discovered filters
    The top ``mask_ratio`` share of the filters by score.
mask
    Put the baseline's weights back at the discovered filters of the target; biases stay the target's.

Paper: Xie et al., "Finding Discriminative Filters for Specific Degradations in Blind Super-Resolution", NeurIPS 2021.
"""
