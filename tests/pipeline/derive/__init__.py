"""Tests of data sets made of others."""
