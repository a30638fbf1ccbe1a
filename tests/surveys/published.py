"""Columns of catalogues as surveys publish them, and what they are for truez."""

_L68 = "Z_PHOT_L68 Z_PHOT_U68 Z_PHOT_L95 Z_PHOT_U95"
#: Survey, columns of a photometric catalogue, and the settings that they make.
PHOTOMETRIC = [
    (
        "legacy",
        f"RELEASE BRICKID OBJID RA DEC Z_PHOT_MEAN Z_PHOT_MEDIAN Z_PHOT_STD {_L68} Z_SPEC MASKBITS",
        {"photo_sky": "RA,DEC,Z_PHOT_MEAN", "z_err_column": "Z_PHOT_STD",
         "spec_z_column": "Z_SPEC", "ids": {"legacy": "RELEASE+BRICKID+OBJID"}},
    ),
    (
        "legacy",
        "ra dec z_phot_median z_phot_l68 z_phot_u68",
        {"photo_sky": "ra,dec,z_phot_median", "z_err_column": "z_phot_l68:z_phot_u68"},
    ),
    (
        "legacy",
        "ra dec z_phot_mean z_phot_l95 z_phot_u95",
        {"photo_sky": "ra,dec,z_phot_mean", "z_err_column": "z_phot_l95:z_phot_u95:0.95"},
    ),
    (
        "rubin",
        ("objectId coord_ra coord_dec bpz_z_mean bpz_z_median bpz_z_mode bpz_z_err68_low "
        "bpz_z_err68_high bpz_z_err95_low bpz_z_err95_high"),
        {"photo_sky": "coord_ra,coord_dec,bpz_z_mean",
         "z_err_column": "bpz_z_err68_low:bpz_z_err68_high", "ids": {"rubin": "objectId"}},
    ),
    (
        "rail",
        "object_id ra dec z_mode z_mean",
        {"photo_sky": "ra,dec,z_mode", "ids": {"desc": "object_id"}},
    ),
    (
        "txpipe",
        "ra dec z lens_weight",
        {"photo_sky": "ra,dec,z", "weight_column": "lens_weight"},
    ),
    (
        "redmagic",
        "coadd_object_id ra dec zredmagic zredmagic_e zspec weight",
        {"photo_sky": "ra,dec,zredmagic", "z_err_column": "zredmagic_e", "weight_column": "weight",
         "spec_z_column": "zspec", "ids": {"des": "coadd_object_id"}},
    ),
    (
        "redmapper",
        "MEM_MATCH_ID RA DEC Z_LAMBDA Z_LAMBDA_E LAMBDA_CHISQ",
        {"photo_sky": "RA,DEC,Z_LAMBDA", "z_err_column": "Z_LAMBDA_E",
         "ids": {"redmapper": "MEM_MATCH_ID"}},
    ),
    (
        "redmapper",
        "MEM_MATCH_ID RA DEC ZRED ZRED_E P",
        {"photo_sky": "RA,DEC,ZRED", "z_err_column": "ZRED_E",
         "ids": {"redmapper": "MEM_MATCH_ID"}},
    ),
    (
        "des",
        "COADD_OBJECT_ID RA DEC DNF_Z DNF_ZSIGMA EXT_MASH",
        {"photo_sky": "RA,DEC,DNF_Z", "z_err_column": "DNF_ZSIGMA",
         "ids": {"des": "COADD_OBJECT_ID"}},
    ),
    (
        "kids",
        "ID RAJ2000 DECJ2000 Z_B Z_B_MIN Z_B_MAX MASK",
        {"photo_sky": "RAJ2000,DECJ2000,Z_B", "z_err_column": "Z_B_MIN:Z_B_MAX",
         "ids": {"kids": "ID"}},
    ),
    (
        "kids",
        "RAJ2000 DECJ2000 zphot_ANNz2",
        {"photo_sky": "RAJ2000,DECJ2000,zphot_ANNz2"},
    ),
    (
        "hsc",
        ("object_id ra dec photoz_best photoz_median photoz_std_best photoz_err68_min "
        "photoz_err68_max"),
        {"photo_sky": "ra,dec,photoz_best", "z_err_column": "photoz_std_best",
         "ids": {"hsc": "object_id"}},
    ),
    (
        "hsc",
        "object_id ra dec demp_photoz_best demp_photoz_err68_min demp_photoz_err68_max",
        {"photo_sky": "ra,dec,demp_photoz_best",
         "z_err_column": "demp_photoz_err68_min:demp_photoz_err68_max",
         "ids": {"hsc": "object_id"}},
    ),
    (
        "euclid",
        "object_id right_ascension declination phz_median phz_mode_1 phz_70_int[2]",
        {"photo_sky": "right_ascension,declination,phz_median",
         "z_err_column": "phz_70_int.0:phz_70_int.1:0.7", "ids": {"euclid": "object_id"}},
    ),
    (
        "euclid",
        "OBJECT_ID RIGHT_ASCENSION DECLINATION PHZ_MODE_1 PHZ_70_INT1 PHZ_70_INT2",
        {"photo_sky": "RIGHT_ASCENSION,DECLINATION,PHZ_MODE_1",
         "z_err_column": "PHZ_70_INT1:PHZ_70_INT2:0.7", "ids": {"euclid": "OBJECT_ID"}},
    ),
    (
        "sdss",
        "objID ra dec z zErr photoErrorClass",
        {"photo_sky": "ra,dec,z", "z_err_column": "zErr", "ids": {"sdss": "objID"}},
    ),
]  # fmt: skip
#: The same for spectroscopic catalogues.
SPECTROSCOPIC = [
    (
        "desi",
        "TARGETID RA DEC Z WEIGHT WEIGHT_FKP NX",
        {"sky": "RA,DEC,Z", "spec_weight_column": "WEIGHT", "ids": {"desi": "TARGETID"}},
    ),
    (
        "desi",
        "TARGETID TARGET_RA TARGET_DEC Z ZERR",
        {"sky": "TARGET_RA,TARGET_DEC,Z", "ids": {"desi": "TARGETID"}},
    ),
    ("rail", "object_id ra dec redshift", {"sky": "ra,dec,redshift", "ids": {"desc": "object_id"}}),
    (
        "euclid",
        "object_id right_ascension declination spe_z_rank0",
        {"sky": "right_ascension,declination,spe_z_rank0", "ids": {"euclid": "object_id"}},
    ),
    (
        "sdss",
        "specObjID bestObjID ra dec z zErr zWarning",
        {"sky": "ra,dec,z", "ids": {"sdss": "bestObjID"}},
    ),
    ("gama", "CATAID RA Dec Z NQ", {"sky": "RA,Dec,Z", "ids": {"gama": "CATAID"}}),
    ("gama", "CATAID RA DEC Z_CMB", {"sky": "RA,DEC,Z_CMB", "ids": {"gama": "CATAID"}}),
    (
        "desi",
        "TARGETID TARGET_RA TARGET_DEC Z_BEST Z Z_CONF",
        {"sky": "TARGET_RA,TARGET_DEC,Z_BEST", "ids": {"desi": "TARGETID"}},
    ),
]
