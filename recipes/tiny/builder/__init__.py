# SPDX-License-Identifier: Apache-2.0
"""Builds the data of the small GPT-JT from what a Debian machine installs."""
