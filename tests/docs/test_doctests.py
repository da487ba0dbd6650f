# SPDX-License-Identifier: MIT
"""The examples in docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import torch

import openmmgrad

MODULES = ["openmmgrad", *(module.name for module in pkgutil.walk_packages(openmmgrad.__path__, "openmmgrad."))]


@pytest.mark.parametrize("name", MODULES)
def test_doctests_of(name, capsys):
    module = importlib.import_module(name)
    torch.set_printoptions(profile="default")
    with np.printoptions(legacy=False):
        finder = doctest.DocTestFinder(exclude_empty=True)
        runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST)
        for test in finder.find(module, module.__name__):
            runner.run(test)
    assert runner.failures == 0, capsys.readouterr().out


def test_the_doctests_are_found():
    attempted = sum(len(test.examples) for name in MODULES
                    for test in doctest.DocTestFinder().find(importlib.import_module(name)))
    assert attempted > 100
