"""The colours of the built-in maps, 256 each, RGB in hexadecimal, as matplotlib paints them.

Generated from matplotlib by scripts/generate_colormaps.py. Do not edit.

Source:
    viridis, magma: N. J. Smith, S. van der Walt, E. Firing (BIDS/colormap); CC0.
    turbo: A. Mikhailov, "Turbo, an improved rainbow colormap", Google 2019; Apache-2.0.
    coolwarm: K. Moreland, "Diverging Color Maps for Scientific Visualization", ISVC 2009; his
        tables are free to use, and matplotlib's licence covers this one.
"""

TABLES = {
    "viridis": """
        440154 440255 440357 450558 45065a 45085b 46095c 460b5e 460c5f 460e61 470f62 471163
        471265 471466 471567 471669 47186a 48196b 481a6c 481c6e 481d6f 481e70 482071 482172
        482273 482374 472575 472676 472777 472878 472a79 472b7a 472c7b 462d7c 462f7c 46307d
        46317e 45327f 45347f 453580 453681 443781 443982 433a83 433b83 433c84 423d84 423e85
        424085 414186 414286 404387 404487 3f4587 3f4788 3e4888 3e4989 3d4a89 3d4b89 3d4c89
        3c4d8a 3c4e8a 3b508a 3b518a 3a528b 3a538b 39548b 39558b 38568b 38578c 37588c 37598c
        365a8c 365b8c 355c8c 355d8c 345e8d 345f8d 33608d 33618d 32628d 32638d 31648d 31658d
        31668d 30678d 30688d 2f698d 2f6a8d 2e6b8e 2e6c8e 2e6d8e 2d6e8e 2d6f8e 2c708e 2c718e
        2c728e 2b738e 2b748e 2a758e 2a768e 2a778e 29788e 29798e 287a8e 287a8e 287b8e 277c8e
        277d8e 277e8e 267f8e 26808e 26818e 25828e 25838d 24848d 24858d 24868d 23878d 23888d
        23898d 22898d 228a8d 228b8d 218c8d 218d8c 218e8c 208f8c 20908c 20918c 1f928c 1f938b
        1f948b 1f958b 1f968b 1e978a 1e988a 1e998a 1e998a 1e9a89 1e9b89 1e9c89 1e9d88 1e9e88
        1e9f88 1ea087 1fa187 1fa286 1fa386 20a485 20a585 21a685 21a784 22a784 23a883 23a982
        24aa82 25ab81 26ac81 27ad80 28ae7f 29af7f 2ab07e 2bb17d 2cb17d 2eb27c 2fb37b 30b47a
        32b57a 33b679 35b778 36b877 38b976 39b976 3bba75 3dbb74 3ebc73 40bd72 42be71 44be70
        45bf6f 47c06e 49c16d 4bc26c 4dc26b 4fc369 51c468 53c567 55c666 57c665 59c764 5bc862
        5ec961 60c960 62ca5f 64cb5d 67cc5c 69cc5b 6bcd59 6dce58 70ce56 72cf55 74d054 77d052
        79d151 7cd24f 7ed24e 81d34c 83d34b 86d449 88d547 8bd546 8dd644 90d643 92d741 95d73f
        97d83e 9ad83c 9dd93a 9fd938 a2da37 a5da35 a7db33 aadb32 addc30 afdc2e b2dd2c b5dd2b
        b7dd29 bade27 bdde26 bfdf24 c2df22 c5df21 c7e01f cae01e cde01d cfe11c d2e11b d4e11a
        d7e219 dae218 dce218 dfe318 e1e318 e4e318 e7e419 e9e419 ece41a eee51b f1e51c f3e51e
        f6e61f f8e621 fae622 fde724
    """,
    "magma": """
        000003 000004 000006 010007 010109 01010b 02020d 02020f 030311 040313 040415 050417
        060519 07051b 08061d 09071f 0a0722 0b0824 0c0926 0d0a28 0e0a2a 0f0b2c 100c2f 110c31
        120d33 140d35 150e38 160e3a 170f3c 180f3f 1a1041 1b1044 1c1046 1e1049 1f114b 20114d
        221150 231152 251155 261157 281159 2a115c 2b115e 2d1060 2f1062 301065 321067 341068
        350f6a 370f6c 390f6e 3b0f6f 3c0f71 3e0f72 400f73 420f74 430f75 450f76 470f77 481078
        4a1079 4b1079 4d117a 4f117b 50127b 52127c 53137c 55137d 57147d 58157e 5a157e 5b167e
        5d177e 5e177f 60187f 61187f 63197f 651a80 661a80 681b80 691c80 6b1c80 6c1d80 6e1e81
        6f1e81 711f81 731f81 742081 762181 772181 792281 7a2281 7c2381 7e2481 7f2481 812581
        822581 842681 852681 872781 892881 8a2881 8c2980 8d2980 8f2a80 912a80 922b80 942b80
        952c80 972c7f 992d7f 9a2d7f 9c2e7f 9e2e7e 9f2f7e a12f7e a3307e a4307d a6317d a7317d
        a9327c ab337c ac337b ae347b b0347b b1357a b3357a b53679 b63679 b83778 b93778 bb3877
        bd3977 be3976 c03a75 c23a75 c33b74 c53c74 c63c73 c83d72 ca3e72 cb3e71 cd3f70 ce4070
        d0416f d1426e d3426d d4436d d6446c d7456b d9466a da4769 dc4869 dd4968 de4a67 e04b66
        e14c66 e24d65 e44e64 e55063 e65162 e75262 e85461 ea5560 eb5660 ec585f ed595f ee5b5e
        ee5d5d ef5e5d f0605d f1615c f2635c f3655c f3675b f4685b f56a5b f56c5b f66e5b f6705b
        f7715b f7735c f8755c f8775c f9795c f97b5d f97d5d fa7f5e fa805e fa825f fb8460 fb8660
        fb8861 fb8a62 fc8c63 fc8e63 fc9064 fc9265 fc9366 fd9567 fd9768 fd9969 fd9b6a fd9d6b
        fd9f6c fda16e fda26f fda470 fea671 fea873 feaa74 feac75 feae76 feaf78 feb179 feb37b
        feb57c feb77d feb97f febb80 febc82 febe83 fec085 fec286 fec488 fec689 fec78b fec98d
        fecb8e fdcd90 fdcf92 fdd193 fdd295 fdd497 fdd698 fdd89a fdda9c fddc9d fddd9f fddfa1
        fde1a3 fce3a5 fce5a6 fce6a8 fce8aa fceaac fcecae fceeb0 fcf0b1 fcf1b3 fcf3b5 fcf5b7
        fbf7b9 fbf9bb fbfabd fbfcbf
    """,
    "turbo": """
        30123b 311542 32184a 341b51 351e58 36215f 372365 38266c 392972 3a2c79 3b2f7f 3c3285
        3c358b 3d3791 3e3a96 3f3d9c 4040a1 4043a6 4145ab 4148b0 424bb5 434eba 4350be 4353c2
        4456c7 4458cb 455bce 455ed2 4560d6 4563d9 4666dd 4668e0 466be3 466de6 4670e8 4673eb
        4675ed 4678f0 467af2 467df4 467ff6 4682f8 4584f9 4587fb 4589fc 448cfd 438efd 4291fe
        4193fe 4096fe 3f98fe 3e9bfe 3c9dfd 3ba0fc 39a2fc 38a5fb 36a8f9 34aaf8 33acf6 31aff5
        2fb1f3 2db4f1 2bb6ef 2ab9ed 28bbeb 26bde9 25c0e6 23c2e4 21c4e1 20c6df 1ec9dc 1dcbda
        1ccdd7 1bcfd4 1ad1d2 19d3cf 18d5cc 18d7ca 17d9c7 17dac4 17dcc2 17debf 18e0bd 18e1ba
        19e3b8 1ae4b6 1be5b4 1de7b1 1ee8af 20e9ac 22eba9 24eca6 27eda3 29eea0 2cef9d 2ff09a
        32f197 35f394 38f491 3bf48d 3ff58a 42f687 46f783 4af880 4df97c 51f979 55fa76 59fb72
        5dfb6f 61fc6c 65fc68 69fd65 6dfd62 71fd5f 74fe5c 78fe59 7cfe56 80fe53 84fe50 87fe4d
        8bfe4b 8efe48 92fe46 95fe44 98fe42 9bfd40 9efd3e a1fc3d a4fc3b a6fb3a a9fb39 acfa37
        aef937 b1f836 b3f835 b6f735 b9f534 bbf434 bef334 c0f233 c3f133 c5ef33 c8ee33 caed33
        cdeb34 cfea34 d1e834 d4e735 d6e535 d8e335 dae236 dde036 dfde36 e1dc37 e3da37 e5d838
        e7d738 e8d538 ead339 ecd139 edcf39 efcd39 f0cb3a f2c83a f3c63a f4c43a f6c23a f7c039
        f8be39 f9bc39 f9ba38 fab737 fbb537 fbb336 fcb035 fcae34 fdab33 fda932 fda631 fda330
        fea12f fe9e2e fe9b2d fe982c fd952b fd9229 fd8f28 fd8c27 fc8926 fc8624 fb8323 fb8022
        fa7d20 fa7a1f f9771e f8741c f7711b f76e1a f66b18 f56817 f46516 f36315 f26014 f15d13
        ef5a11 ee5810 ed550f ec520e ea500d e94d0d e84b0c e6490b e5460a e3440a e24209 e04008
        de3e08 dd3c07 db3a07 d93806 d73606 d63405 d43205 d23005 d02f04 ce2d04 cb2b03 c92903
        c72803 c52602 c32402 c02302 be2102 bb1f01 b91e01 b61c01 b41b01 b11901 ae1801 ac1601
        a91501 a61401 a31201 a01101 9d1001 9a0e01 970d01 940c01 910b01 8e0a01 8b0901 870801
        840701 810602 7d0502 7a0402
    """,
    "coolwarm": """
        3a4cc0 3b4dc1 3c4fc3 3e51c4 3f53c6 4054c7 4156c9 4258ca 435acc 455bcd 465dcf 475fd0
        4860d1 4962d3 4b64d4 4c66d6 4d67d7 4e69d8 506bda 516cdb 526edc 5370dd 5571de 5673e0
        5775e1 5876e2 5a78e3 5b79e4 5c7be5 5d7de6 5f7ee7 6080e8 6182ea 6383ea 6485eb 6586ec
        6788ed 6889ee 698bef 6b8df0 6c8ef1 6d90f1 6f91f2 7093f3 7194f4 7395f4 7497f5 7598f6
        779af6 789bf7 7a9df8 7b9ef8 7ca0f9 7ea1f9 7fa2fa 80a4fa 82a5fb 83a6fb 85a8fb 86a9fc
        87aafc 89acfc 8aadfd 8baefd 8daffd 8eb1fd 90b2fe 91b3fe 92b4fe 94b5fe 95b7fe 97b8fe
        98b9fe 99bafe 9bbbfe 9cbcfe 9dbdfe 9fbefe a0bffe a2c0fe a3c1fe a4c2fe a6c3fd a7c4fd
        a8c5fd aac6fd abc7fc acc8fc aec9fc afcafb b0cbfb b2cbfb b3ccfa b4cdfa b6cef9 b7cff9
        b8cff8 b9d0f8 bbd1f7 bcd1f6 bdd2f6 bed3f5 c0d3f5 c1d4f4 c2d4f3 c3d5f2 c5d5f2 c6d6f1
        c7d6f0 c8d7ef c9d7ee cad8ee ccd8ed cdd9ec ced9eb cfd9ea d0dae9 d1dae8 d2dae7 d3dbe6
        d5dbe5 d6dbe4 d7dbe2 d8dbe1 d9dce0 dadcdf dbdcde dcdcdd dddcdb dedbda dfdbd9 e0dad7
        e1dad6 e2d9d4 e3d9d3 e4d8d1 e5d8d0 e6d7cf e7d6cd e7d6cc e8d5ca e9d4c9 ead3c7 ebd3c6
        ecd2c4 ecd1c3 edd0c1 edcfc0 eecfbe efcebc efcdbb f0ccb9 f1cbb8 f1cab6 f2c9b5 f2c8b3
        f2c7b2 f3c6b0 f3c5af f4c4ad f4c3ab f4c2aa f5c1a8 f5c0a7 f5bfa5 f6bda4 f6bca2 f6bba0
        f6ba9f f6b99d f6b79c f6b69a f7b598 f7b397 f7b295 f7b194 f7b092 f7ae91 f7ad8f f6ab8d
        f6aa8c f6a98a f6a789 f6a687 f6a486 f6a384 f5a182 f5a081 f59e7f f49d7e f49b7c f49a7b
        f39879 f39678 f39576 f29375 f29173 f19072 f18e70 f08d6f f08b6d ef896c ee876a ee8669
        ed8467 ec8266 ec8064 eb7f63 ea7d61 ea7b60 e9795e e8775d e7755c e6745a e67259 e57057
        e46e56 e36c54 e26a53 e16852 e06650 df644f de624e dd604c dc5e4b db5c4a da5a48 d95847
        d85646 d75444 d65243 d44f42 d34d40 d24b3f d1493e cf463d ce443c cd423a cc3f39 ca3d38
        c93b37 c83835 c63534 c53233 c43032 c22d31 c12a30 bf282e be232d bc1f2c bb1a2b b9162a
        b81129 b60d28 b50827 b30326
    """,
}
