position > :after AND position <= :upto AND position > (:passed::bigint[])[partition + 1]
