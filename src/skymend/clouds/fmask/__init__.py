"""Fmask, written from its papers: clouds, cloud shadows, snow and water in one image.

Zhu & Woodcock 2012 (RSE 118, 83-94); Zhu, Wang & Woodcock 2015 (RSE 159, 269-277); Frantz et
al. 2018 (RSE 215, 471-481), the parallax test; Qiu, Zhu & He 2019 (RSE 231, 111205), Fmask 4.
"""
