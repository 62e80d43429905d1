"""Real tables that installed packages ship, as data frames: name -> (a function that makes it, target)."""

from importlib import import_module


def sklearn(name):
    def made():
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")(as_frame=True)
        frame = bunch.frame
        if "target_names" in bunch and name in ("iris", "wine", "breast_cancer"):
            frame["target"] = [str(bunch.target_names[i]) for i in bunch.target]
        return frame

    return made


def statsmodels(name, rows=None, **renamed):
    def made():
        frame = import_module(f"statsmodels.datasets.{name}").load_pandas().data
        return frame if rows is None else frame.sample(rows, random_state=0)

    return made


def penguins(raw=False):
    def made():
        import palmerpenguins

        return palmerpenguins.load_penguins_raw() if raw else palmerpenguins.load_penguins()

    return made


TABLES = {
    "iris": (sklearn("iris"), "target"),
    "wine": (sklearn("wine"), "target"),
    "breast_cancer": (sklearn("breast_cancer"), "target"),
    "diabetes": (sklearn("diabetes"), "target"),
    "digits": (sklearn("digits"), "target"),
    "penguins": (penguins(), "species"),
    "penguins_mass": (penguins(), "body_mass_g"),
    "penguins_raw": (penguins(raw=True), "Species"),
    "penguins_sex": (penguins(raw=True), "Sex"),
    "fair": (statsmodels("fair", 2000), "affairs"),
    "anes96": (statsmodels("anes96"), "vote"),
    "randhie": (statsmodels("randhie", 2000), "hlthg"),
    "modechoice": (statsmodels("modechoice"), "mode"),
    "ccard": (statsmodels("ccard"), "AVGEXP"),
    "copper": (statsmodels("copper"), "WORLDCONSUMPTION"),
    "statecrime": (statsmodels("statecrime"), "violent"),
    "star98": (statsmodels("star98"), "NABOVE"),
    "engel": (statsmodels("engel"), "foodexp"),
    "grunfeld": (statsmodels("grunfeld"), "invest"),
    "macrodata": (statsmodels("macrodata"), "realgdp"),
    "longley": (statsmodels("longley"), "TOTEMP"),
    "scotland": (statsmodels("scotland"), "YES"),
    "spector": (statsmodels("spector"), "GRADE"),
    "strikes": (statsmodels("strikes"), "duration"),
    "sunspots": (statsmodels("sunspots"), "SUNACTIVITY"),
    "nile": (statsmodels("nile"), "volume"),
    "heart": (statsmodels("heart"), "censors"),
    "cancer_counties": (statsmodels("cancer"), "cancer"),
}
