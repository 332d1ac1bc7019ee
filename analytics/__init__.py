"""What is learned: the consumer that stores every event, outcomes and sums, the views analysts read, the learner."""
