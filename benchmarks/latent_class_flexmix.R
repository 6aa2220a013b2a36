# flexmix's mixture of conditional logits, a JSON line for each seed: FILE K SEEDS.
# Run by latent_class.py; what it writes is as in latent_class_fits.py.
arguments <- commandArgs(trailingOnly = TRUE)
choices <- read.csv(arguments[1])
n_types <- as.integer(arguments[2])
began <- proc.time()
suppressPackageStartupMessages({
  library(survival)
  library(flexmix)
})
imports <- (proc.time() - began)[["elapsed"]]

peak_mb <- function() {
  lines <- readLines("/proc/self/status")
  as.numeric(gsub("[^0-9]", "", grep("^VmHWM", lines, value = TRUE))) / 1024
}
list_of <- function(values) {
  paste0("[", paste(formatC(values, digits = 17, format = "g"), collapse = ", "), "]")
}

for (seed in seq_len(as.integer(arguments[3])) - 1) {
  set.seed(seed)
  cost <- system.time(
    found <- flexmix(chosen ~ 0 + pf + cl + loc + wk + tod + seas | person, data = choices,
                     k = n_types, model = FLXMRcondlogit(strata = ~ choice_set))
  )
  theta <- apply(parameters(found), 2, list_of)
  cat(sprintf(
    paste0('{"seed": %d, "seconds": %f, "cpu_seconds": %f, "imports": %f, "peak_mb": %f, ',
           '"weights": %s, "theta": [%s]}\n'),
    seed, cost[["elapsed"]], cost[["user.self"]] + cost[["sys.self"]], imports, peak_mb(),
    list_of(prior(found)), paste(theta, collapse = ", ")
  ))
}
