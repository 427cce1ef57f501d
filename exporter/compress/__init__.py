"""Compression before conversion: smaller Keras 3 models that are as good.

    data.py       training and validation samples
    network.py    a Keras model as a list of layer calls; the same calls with other layers
    rules.py      what the layers do to channels: one rule for each kind of layer
    channels.py   which channels of a network are the same channel, and so go together
    trace.py      the channels of every tensor; the network with some removed
    macs.py       multiply-accumulates, by layer
    importance.py how much a channel matters
    prune.py      the channels that matter least removed, really, to a budget of MACs
    distill.py    a student trained on what a teacher says
    fold.py       batch normalisations folded into the layers before them
    qat.py        training that feels the rounding to int8
    task.py       loss and score, from the last layer and the labels
    training.py   the loop all three share
    worker.py     the process in which the commands do this; jobs.py: its host side

Importing a module of this package other than jobs, data and settings imports Keras.
"""
