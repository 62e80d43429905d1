"""What our models take of scikit-learn.

Where rich is installed, scikit-learn imports it with these, and rich draws from `random` as it is imported. Python's
random state is put back: a program that has set a seed goes on as if nothing had been drawn.
"""

import random

state = random.getstate()
try:
    from sklearn.metrics import accuracy_score as accuracy_score
    from sklearn.metrics import r2_score as r2_score
    from sklearn.model_selection import train_test_split as train_test_split
finally:
    random.setstate(state)
