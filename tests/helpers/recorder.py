"""What the step machine did to the world."""

import dataclasses


class Recorder:
    """`machine_io.Outputs` that keeps everything."""

    def __init__(self):
        self.observations, self.commands, self.transitions, self.episodes = [], [], [], []
        self.problems, self.solutions, self.notes = [], [], []
        self.progress, self.outcomes, self.questions = [], [], []
        self.randomised = self.put_backs = 0
        self.offers_randomise = self.offers_put_back = True

    def publish_observation(self, observation):
        self.observations.append(observation)

    def publish_command(self, time_ns, goals_rad, torque_on):
        self.commands.append((time_ns, goals_rad, torque_on))

    def publish_transition(self, transition):
        self.transitions.append(transition)

    def publish_episode(self, record):
        self.episodes.append(dataclasses.replace(record))

    def randomise(self):
        self.randomised += self.offers_randomise
        return self.offers_randomise

    def put_back(self):
        self.put_backs += self.offers_put_back
        return self.offers_put_back

    def reset_progress(self, progress):
        self.progress.append(progress)

    def reset_ended(self, outcome):
        self.outcomes.append(outcome)

    def ask_operator(self, text):
        self.questions.append(text)

    def problem(self, problem, text):
        self.problems.append((problem, text))

    def solved(self, problem):
        self.solutions.append(problem)

    def note(self, text):
        self.notes.append(text)
