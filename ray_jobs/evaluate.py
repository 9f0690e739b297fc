"""Score a trained model as a referee would: redshift, p(z), spectra, images, representation.

    python ray_jobs/evaluate.py --run NAME
    python ray_jobs/evaluate.py --run checkpoint_folder --survey my_survey --galaxies 0
    python ray_jobs/evaluate.py --predictions photoz.csv
    python ray_jobs/evaluate.py --predictions photoz.parquet --truth-column zspec --predicted-column zphot

NAME is a run, a study or a run id of MLflow. Tables, figures and an HTML page go to
$MMAE_HOME/evaluations/NAME and to the run in MLflow. A survey whose galaxies the model was trained on
is refused. A file of predictions needs no model: true and predicted redshifts in a CSV or Parquet file.
"""

from mmae.cli import main, parse_job
from mmae.evaluation.config import EvaluateConfig
from mmae.evaluation.job import evaluate

if __name__ == "__main__":
    main(lambda: evaluate(parse_job(EvaluateConfig, __doc__)))
