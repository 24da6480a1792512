"""Can a stranger find things? Behaviours, and the file that each is expected in by its name alone.

Whoever sees nothing but the names of the tree is asked for each of these, and finds at least 14 of the 15:

 1. an address on a private network is refused before a connection is made
 2. bytes of a JPEG or PNG become upright RGB pixels, whatever palette, alpha channel or orientation they have
 3. keypoints and label maps are cut by the same box as the image
 4. limbs of a person are drawn in T2I-Adapter's colours
 5. rows of LAION metadata are kept or dropped by their aesthetic score
 6. the published sha256 and the licence of each network's weights
 7. what dtype "auto" becomes on a machine
 8. a tar and then its record appear under their names, whole or not at all
 9. how many workers there are, and how many CPUs and GPUs each of them gets
10. the work of a Ray worker that died is given to another one
11. the data card of a data set is written
12. time step, noise and caption of one visit are drawn at random
13. a checkpoint is written whole, and an unfinished one is not taken for one
14. edge F1 within two pixels, by which a picture is compared with its sketch
15. parameters are renamed to those of the T2I-Adapter authors' released files
"""
